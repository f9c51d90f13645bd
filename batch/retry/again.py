"""Again: the error rows of one part that are to be run again, and their input."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch.bounds import Bounds
from batch.columns import OWN_ROW, ROW, SOURCE, JobColumns
from batch.commit import look_again, newest_parts
from batch.errors import InputChanged, InputNotFound, StoreUnavailable
from batch.parquet_source import read_footer
from batch.read import gather_windows, read_piece
from batch.retry.find_errors import read_error_rows
from batch.shard import Piece, Plan, Shard
from batch.stores.storage import ObjectInfo, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Rows of a part that are run again.

    Attributes:
        plan, shard: whose part it is.
        columns: see only_encoded.
        tried: as read_error_rows found them; what they were then decides whether an answer still counts.
        beside: the part is a table's: it stays as it is, and the new one is put beside it.
    """

    plan: Plan
    shard: Shard
    columns: JobColumns
    tried: pa.Table
    beside: bool = False


def only_encoded(columns: JobColumns) -> JobColumns:
    """What a row that is run again is read by: the encoded column, and the true label where the job has one.

    What else its part holds stays as it is there. The filter has let the row in before.
    """
    return replace(columns, keep=(columns.label,) if columns.label else (), where=None)


def part_there(store: Store, key: str, *, beside: bool = False) -> ObjectInfo:
    """The part as it lies there now; of a table, with `beside`, the last of those put beside each other.

    Raises:
        StoreUnavailable: it was removed.
    """
    if beside and (newest := newest_parts(store.list(key.removesuffix(".parquet"))).get(key)) is not None:
        return newest
    head = store.head(key)
    if head is None:
        raise StoreUnavailable("replace", store.url_of(key), "another run removed it")
    return ObjectInfo(key=key, size_bytes=head.size_bytes, etag=head.etag)


def find_again(
    store: Store,
    key: str,
    plan: Plan,
    shard: Shard,
    columns: JobColumns,
    *,
    classes: Collection[str],
    beside: bool = False,
) -> Again:
    """Read from a part which of its rows are to be run again.

    Args:
        store: the output's.
        key: the part's.
        plan, shard: whose part it is.
        columns: of the job, as only_encoded made them.
        classes: of errors; all where none is named.
        beside: see Again.
    """

    def look() -> pa.Table:
        return read_error_rows(store, part_there(store, key, beside=beside), classes=classes)

    tried = look_again(look, url=store.url_of(key))
    return Again(plan=plan, shard=shard, columns=columns, tried=tried, beside=beside)


def read_again(store: Store, again: Again, *, window_rows: int, bounds: Bounds) -> Iterator[pa.RecordBatch]:
    """Read the rows in windows, as read_rows does all rows of a shard.

    Costs the footers of their objects, and the encoded column of the row groups that they lie in.

    Args:
        store: the input's, opened where the job's first run opened it.
        again: which rows.
        window_rows: of a window at most.
        bounds: what a window may hold.

    Raises:
        InputChanged: an object is no longer the one that was planned, or gone.
    """
    values, schema = again.shard.values, again.plan.schema
    wanted = pa.schema([schema.field(name) for name in again.columns.read_from(schema, values)])
    sources = again.tried.column(SOURCE).combine_chunks()

    def batches() -> Iterator[pa.RecordBatch]:
        for piece in again.shard.pieces:
            numbers = again.tried.column(ROW).filter(pc.equal(sources, store.url_of(piece.key))).to_numpy()
            if not len(numbers):
                continue
            narrow = narrowed(store, piece, numbers)
            for batch in read_piece(store, narrow, values, again.columns, wanted, bounds):
                picked = batch.filter(pa.array(np.isin(batch.column(OWN_ROW).to_numpy(), numbers)))
                if picked.num_rows:
                    yield picked

    yield from gather_windows(batches(), window_rows=window_rows, window_bytes=bounds.window_bytes)


def narrowed(store: Store, piece: Piece, numbers: NDArray[np.int64]) -> Piece:
    """The piece without the row groups that hold none of these rows."""
    info = ObjectInfo(key=piece.key, size_bytes=piece.size_bytes, etag=piece.etag)
    try:
        footer = read_footer(store, info)
    except InputNotFound:
        raise InputChanged(store.url_of(piece.key), expected=piece.etag, found="nothing: it was deleted") from None
    return replace(piece, row_groups=tuple(np.unique(groups_of(footer, numbers)).tolist()))


def groups_of(footer: pq.FileMetaData, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row group that each row of an object lies in; shape (rows,)."""
    stops = np.cumsum([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])
    return np.searchsorted(stops, numbers, side="right")
