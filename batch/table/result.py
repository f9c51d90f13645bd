"""Result: what a finished job would have readers of the table see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa

from batch.commit import MANIFEST, first_key, is_finished, read_plans, read_record
from batch.errors import InputNotFound, TableRefused
from batch.parquet_source import read_footer
from batch.shard import Plan, partition_values
from batch.stores.storage import ObjectInfo, Store
from batch.table.delta_log import TableFile
from batch.table.delta_schema import delta_schema
from batch.table.statistics import file_statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished job would have readers see.

    Attributes:
        folder: the job's, ending in "/".
        files: path in the log -> file, without statistics.
        schema: as the log has it.
        partition_columns: of those, the ones that the folders hold.
        name: of this set of shards: what was once published under it is not published again unasked. Parts that a
            retry put anew are no other set: else a run after it would undo a rollback.
    """

    folder: str
    files: Mapping[str, TableFile]
    schema: str
    partition_columns: tuple[str, ...]
    name: str


def read_result(root: Store, target: Store, folder: str) -> Result | None:
    """A finished job's files and columns, from its manifest, its plans and one part's footer; None: not finished.

    Raises:
        TableRefused: Delta has no name or type for one of its columns.
    """
    plans, record = read_plans(target), read_record(target)
    if record is None or not plans or not is_finished(target, len(plans)):
        return None
    try:
        parts = json.loads(target.read(MANIFEST))["parts"]
    except InputNotFound:  # continued by another run at this moment
        return None
    folders = {shard.id: shard.folder for plan in plans for shard in plan.shards}
    files = [
        TableFile(
            key=folder + part["key"],
            partition=partition_values(folders[part["shard"]]),
            size_bytes=part["size_bytes"],
        )
        for part in parts
    ]
    partitions = partition_fields(plans)
    columns = [field for field in read_columns(root, files[0]) if field.name not in partitions.names] if files else []
    names = hashlib.sha256(json.dumps(sorted(first_key(file.key) for file in files)).encode()).hexdigest()
    return Result(
        folder=folder,
        files={file.path: file for file in files},
        schema=delta_schema(root.url, pa.schema([*columns, *partitions])),
        partition_columns=tuple(partitions.names),
        name=f"tandem/{folder}{names[:16]}",
    )


def read_columns(root: Store, file: TableFile) -> pa.Schema:
    """A part's columns; every part of a job has the same."""
    return read_footer(root, info_of(root, file)).schema.to_arrow_schema()


def partition_fields(plans: Iterable[Plan]) -> pa.Schema:
    """The columns that the output's folders hold; a folder's name there may be another than the input's."""
    plan = next(iter(plans))
    shard = next(iter(plan.shards), None)
    if shard is None:
        return pa.schema([])
    names = zip(shard.values, partition_values(shard.folder), strict=True)
    return pa.schema([plan.schema.field(read).with_name(written) for read, written in names])


def info_of(root: Store, file: TableFile) -> ObjectInfo:
    """The file as a listing has it.

    Raises:
        TableRefused: it is gone.
    """
    there = root.head(file.key)
    if there is None or there.size_bytes != file.size_bytes:
        found = "is gone" if there is None else f"has {there.size_bytes:,} bytes instead of {file.size_bytes:,}"
        raise TableRefused(root.url, f"its file {file.key} {found}", advice="VACUUM removes what is no longer in use.")
    return ObjectInfo(key=file.key, size_bytes=there.size_bytes, etag=there.etag)


def with_statistics(root: Store, files: Iterable[TableFile]) -> list[TableFile]:
    """The files with what their footers say of them; many footers at once."""
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        return list(pool.map(lambda file: replace(file, stats=read_stats(root, file)), files))


def read_stats(root: Store, file: TableFile) -> str:
    return file_statistics(read_footer(root, info_of(root, file)))
