"""Find: which parts hold error rows, and where in them; what holds none is not read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.columns import ROW, SOURCE
from batch.commit import JobRecord, list_parts, read_manifest
from batch.errors import UnreadableParquet
from batch.parquet_source import PinnedFile
from batch.read import first_line
from batch.report import Manifest, read_accounts
from batch.shard import Plan, Shard
from batch.stores.storage import ObjectInfo, Store

#: The leaf by which a row group's statistics say how many error rows it has.
LEAF = "error.class"
#: Where each error row stands in its part, which no retry changes.
PLACE = "place"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyPart:
    """A part that holds error rows: error class -> rows."""

    plan: Plan
    shard: Shard
    info: ObjectInfo
    errors: Mapping[str, int]

    def count(self, classes: Collection[str]) -> int:
        """Its error rows of these classes; of all where none is named."""
        return sum(rows for kind, rows in self.errors.items() if not classes or kind in classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the committed parts of an output say of their error rows.

    Attributes:
        rows: of all committed parts.
        shards, shards_done: that are planned, and that have a part.
        faulty: the parts with error rows, in the order of the input.
        manifest: of a finished job.
    """

    rows: int
    shards: int
    shards_done: int
    faulty: Sequence[FaultyPart]
    manifest: Manifest | None

    @property
    def errors(self) -> dict[str, int]:
        """Error class -> rows, the most first."""
        found: dict[str, int] = {}
        for part in self.faulty:
            for kind, rows in part.errors.items():
                found[kind] = found.get(kind, 0) + rows
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def survey_parts(store: Store, record: JobRecord, plans: Sequence[Plan]) -> Survey:
    """Find the parts with error rows.

    Costs a listing and, of a finished job, the manifest and the footers of the parts with error rows; else the footers
    of all parts, sixteen at once.

    Raises:
        InputChanged: a part was replaced since it was listed.
    """
    shards = {shard.id: (plan, shard) for plan in plans for shard in plan.shards}
    parts = list_parts(store, record.fingerprint, list(plans))
    manifest = cast(Manifest | None, read_manifest(store, len(plans), parts.values()))
    if manifest is None:
        accounts = read_accounts(store, parts)
        rows = sum(account["rows"] for account in accounts.values())
    else:
        wanted = {part["shard"] for part in manifest["parts"] if part["error_rows"]}
        accounts = read_accounts(store, {shard: parts[shard] for shard in parts if shard in wanted})
        rows = manifest["rows"]
    faulty = [
        FaultyPart(plan=plan, shard=shard, info=parts[shard.id], errors=accounts[shard.id]["errors"])
        for plan, shard in shards.values()
        if shard.id in accounts and accounts[shard.id]["errors"]
    ]
    return Survey(rows=rows, shards=len(shards), shards_done=len(parts), faulty=faulty, manifest=manifest)


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Name the part that cannot be read.

    Raises:
        UnreadableParquet: it is damaged behind its footer, or no part of ours.
    """
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UnreadableParquet(url, first_line(error)) from None


def read_error_rows(
    store: Store, info: ObjectInfo, *, classes: Collection[str] = (), messages: bool = False
) -> pa.Table:
    """The error rows of one version of a part, of these classes or of all, in its order.

    Only the columns named here are fetched, and only of row groups whose statistics tell of error rows.

    Returns:
        PLACE, `_source`, `_row`, `class`, `attempts` and, where asked for, `message`.

    Raises:
        InputChanged: the part was replaced since.
        UnreadableParquet: it is damaged.
    """
    fields = ["class", "attempts", *(["message"] if messages else [])]
    found: list[pa.Table] = []
    with PinnedFile(store, info) as file, readable(store.url_of(info.key)):
        parquet = pq.ParquetFile(file, read_dictionary=[SOURCE], pre_buffer=False)
        start = 0
        for group in range(parquet.num_row_groups):
            metadata = parquet.metadata.row_group(group)
            if may_hold_errors(metadata):
                columns = [SOURCE, ROW, *(f"error.{name}" for name in fields)]
                table = parquet.read_row_group(group, columns=columns, use_threads=False)
                found.append(pick_errors(table, fields, classes, start=start))
            start += metadata.num_rows
        if not found:
            empty = parquet.schema_arrow.empty_table().select([SOURCE, ROW, "error"])
            found.append(pick_errors(empty, fields, classes, start=0))
    return pa.concat_tables(found, promote_options="permissive")


def read_answered_row(store: Store, info: ObjectInfo, place: int, *, besides: Collection[str] = ()) -> pa.Table:
    """Of the rows of one version of a part that have answers, the one after so many others; none where it has fewer.

    Rows of the objects `besides` do not count.

    Returns:
        `_source` and `_row`.

    Raises:
        InputChanged: the part was replaced since.
        UnreadableParquet: it is damaged.
    """
    with PinnedFile(store, info) as file, readable(store.url_of(info.key)):
        parquet = pq.ParquetFile(file, pre_buffer=False)
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=[SOURCE, ROW, LEAF], use_threads=False)
            is_left_out = pc.is_in(table.column(SOURCE).cast(pa.string()), pa.array(sorted(besides), pa.string()))
            chosen = pc.and_not(table.column("error").is_null(), is_left_out)
            answered = table.filter(chosen).select([SOURCE, ROW])
            if place < answered.num_rows:
                return answered.slice(place, 1)
            place -= answered.num_rows
        return parquet.schema_arrow.empty_table().select([SOURCE, ROW])


def pick_errors(table: pa.Table, fields: Sequence[str], classes: Collection[str], *, start: int) -> pa.Table:
    """The error rows of a row group that begins at row `start` of its part."""
    error = table.column("error").combine_chunks()
    chosen = error.is_valid()
    if classes:
        chosen = pc.and_(chosen, pc.is_in(pc.struct_field(error, "class"), pa.array(sorted(classes), pa.string())))
    columns = {
        PLACE: pa.array(np.arange(start, start + table.num_rows)),
        SOURCE: table.column(SOURCE),
        ROW: table.column(ROW),
    }
    columns |= {name: pc.struct_field(error, name) for name in fields}
    return pa.table(columns).filter(chosen)


def may_hold_errors(group: pq.RowGroupMetaData) -> bool:
    """Whether a row group has an error row, by its statistics; yes where they say nothing."""
    for leaf in range(group.num_columns):
        column = group.column(leaf)
        if column.path_in_schema == LEAF:
            statistics = column.statistics
            known = statistics is not None and statistics.has_null_count
            return not known or statistics.null_count < group.num_rows
    return True
