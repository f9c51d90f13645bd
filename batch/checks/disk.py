"""Disk: whether the parts that are on their way fit where they are kept until they are put."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from batch.columns import JobColumns
from batch.errors import StoreUnavailable, UsageError
from batch.estimate.survey import survey_input
from batch.shard import Plan, Shard
from batch.spec import JobSpec
from batch.stores.storage import Store

#: Parts of shards of more objects are not foreseen: each is a footer to be read.
MOST_OBJECTS = 32
#: Kept columns are written with zstd: at the least so much of what they take in the source.
LEAST_RATIO = 0.25
#: What answers other than vectors take, a row, at the most.
ROW_BYTES = 256


def check_disk(job: JobSpec, source: Store, target: Store, plans: Sequence[Plan], columns: JobColumns) -> None:
    """Refuse a job whose largest part does not fit on this machine's disk, as far as that is certain.

    Costs the footers of one shard. A filter may leave nothing of any shard, so under one only the folder is tried.

    Raises:
        StoreUnavailable: names the folder, what is free there, and what a part takes at the least.
        UsageError: no folder for temporary files can be written.
    """
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UsageError(
            f"a part lies on this machine's disk until it is put, and no folder for temporary files can be written: "
            f"{error.strerror or error}. Name one as TMPDIR."
        ) from None
    shards = [(plan, shard) for plan in plans for shard in plan.shards]
    if not shards or columns.where is not None:
        return
    largest = max(shards, key=lambda item: item[1].rows)
    workers = min(job.workers if isinstance(job.workers, int) else 1, len(shards))
    places = [folder] if target.url.startswith("s3://") else [folder, Path(target.url)]
    if min(map(free_bytes, places)) > workers * most_part_bytes(*largest, columns):
        return
    needed = least_part_bytes(source, *largest, columns)
    check_free(folder, workers * needed, advice="free some space, or name a roomier folder as TMPDIR")
    if not target.url.startswith("s3://"):
        check_free(Path(target.url), needed, advice="free some space, or choose another --output")


def least_part_bytes(source: Store, plan: Plan, shard: Shard, columns: JobColumns) -> int:
    """What a shard's part takes at the least: its vectors, which hardly get smaller, and its kept columns."""
    if len(shard.pieces) > MOST_OBJECTS:
        return int(LEAST_RATIO * vector_bytes(shard, columns))
    kept = sum(group.kept_bytes for group in survey_input(source, [(plan, shard)], columns).groups)
    return int(LEAST_RATIO * (vector_bytes(shard, columns) + kept))


def most_part_bytes(plan: Plan, shard: Shard, columns: JobColumns) -> int:
    """What it hardly takes: then no footer needs to be read to see that it fits."""
    sizes = {piece.key: piece.size_bytes for piece in shard.pieces}
    return 2 * (vector_bytes(shard, columns) + sum(sizes.values())) + ROW_BYTES * shard.rows


def vector_bytes(shard: Shard, columns: JobColumns) -> int:
    """What the vectors of a shard's rows take; other answers are small."""
    vectors = [field.type for field in columns.predictions if pa.types.is_fixed_size_list(field.type)]
    return shard.rows * sum(int(kind.list_size * kind.value_type.bit_width) // 8 for kind in vectors)


def check_free(folder: Path, needed_bytes: int, *, advice: str) -> None:
    """Whether so much is free where a folder is, or will be made.

    Raises:
        StoreUnavailable: it is not.
    """
    free = free_bytes(folder)
    if needed_bytes > free:
        reason = f"{free / 1e6:,.1f} MB are free there and a part takes {needed_bytes / 1e6:,.1f} MB or more; {advice}"
        raise StoreUnavailable("write", str(folder), reason)


def free_bytes(folder: Path) -> int:
    """What is free where a folder is, or will be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free
