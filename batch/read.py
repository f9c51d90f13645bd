"""Read: a shard -> windows of rows, pinned to the version that was planned, with bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.bounds import MIB, Bounds
from batch.columns import OWN_ROW, OWN_SOURCE, JobColumns
from batch.errors import SchemaMismatch, UnreadableParquet
from batch.parquet_source import BUFFER_BYTES, PinnedFile, Range, column_ranges, wanted_leaves
from batch.shard import Piece, Shard
from batch.stores.storage import ObjectInfo, Store
from models.claims.pages import PageWatch, TooWide

#: Rows of a shard's first window: the arithmetic waits until it is encoded. With 1024 that was three times as long.
FIRST_ROWS = 128
#: Rows to which windows grow whatever the model; further ones grow while each is taken within so many seconds and holds
#: so many bytes at most: where a row costs a microsecond, what a window costs besides is most of it.
USUAL_ROWS, QUICK_S, QUICK_BYTES = 4096, 0.05, 2 * MIB
#: Rows unpacked at once where values are stored as what they do not share with the one before.
DELTA_ROWS = 256


def read_rows(
    store: Store,
    shard: Shard,
    columns: JobColumns,
    schema: pa.Schema,
    *,
    window_rows: int,
    first_rows: int = FIRST_ROWS,
    bounds: Bounds = Bounds(),  # noqa: B008  (frozen)
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a shard that the filter lets in, in their order.

    Columns that nobody asked for and row groups that the filter excludes by their statistics are not fetched.

    Args:
        store: the input's.
        shard: what to read.
        columns: which columns, and the filter.
        schema: the plan's: what every column is cast to, whichever object it comes from.
        window_rows: rows of a batch at most; wide rows come in smaller ones.
        first_rows: rows of the first batch at most.
        bounds: how many bytes a window may hold, how much is fetched ahead, and how many rows are unpacked at once.

    Yields:
        Batches with the columns read, those of the partition, OWN_SOURCE and OWN_ROW; none is empty.

    Raises:
        InputChanged: an object is no longer the one that was planned.
        UnreadableParquet: an object is damaged behind its footer.
    """
    wanted = pa.schema([schema.field(name) for name in columns.read_from(schema, shard.values)])
    batches = (
        batch
        for piece in shard.pieces
        if piece.row_groups
        for batch in read_piece(store, piece, shard.values, columns, wanted, bounds)
    )
    yield from gather_windows(batches, window_rows=window_rows, first_rows=first_rows, window_bytes=bounds.window_bytes)


def gather_windows(
    batches: Iterable[pa.RecordBatch],
    *,
    window_rows: int,
    first_rows: int = FIRST_ROWS,
    window_bytes: int,
) -> Iterator[pa.RecordBatch]:
    """Cut large batches, and join those of small row groups or a strict filter, into windows of `window_rows` rows.

    Order is kept. The first window has at most `first_rows`, so that the arithmetic soon has something to do, and each
    next one may have twice as many, beyond USUAL_ROWS only as long as they are small and taken quickly. A window that
    reaches `window_bytes` is a smaller one, of at least one row. What is cut is not copied; what is joined is.
    """
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    most = min(first_rows, window_rows)
    now = time.perf_counter()
    for batch in batches:
        mean = batch.nbytes / max(batch.num_rows, 1)
        even = mean * batch.num_rows < window_bytes / 4  # no row of it alone makes a window
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, most - rows)
            while not even and piece.num_rows > 1 and piece.nbytes > window_bytes - size:
                piece = piece.slice(0, piece.num_rows // 2)
            piece_bytes = int(mean * piece.num_rows) if even else piece.nbytes
            is_full = bool(gathered) and size + piece_bytes > window_bytes
            if not is_full:
                gathered.append(piece)
                start, rows, size = start + piece.num_rows, rows + piece.num_rows, size + piece_bytes
            if is_full or rows >= most:
                yield joined(gathered)
                now, taken = time.perf_counter(), now
                may_grow = now - taken < QUICK_S and 2 * size <= QUICK_BYTES
                most = min(2 * most, window_rows if may_grow else max(most, min(USUAL_ROWS, window_rows)))
                gathered, rows, size = [], 0, 0
    if gathered:
        yield joined(gathered)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def read_piece(
    store: Store,
    piece: Piece,
    values: Mapping[str, str | None],
    columns: JobColumns,
    wanted: pa.Schema,
    bounds: Bounds,
) -> Iterator[pa.RecordBatch]:
    """The rows of one object's row groups; see read_rows."""
    url = store.url_of(piece.key)
    info = ObjectInfo(key=piece.key, size_bytes=piece.size_bytes, etag=piece.etag)
    with PinnedFile(store, info, ahead_bytes=bounds.ahead_bytes, most_ahead_bytes=bounds.most_ahead_bytes) as file:
        try:
            parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False, buffer_size=BUFFER_BYTES)
            metadata = parquet.metadata
            starts = np.concatenate(
                [[0], np.cumsum([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])]
            )
            names = [name for name in wanted.names if name in parquet.schema_arrow.names]
            groups = matching_groups(file, parquet, piece, values, columns, wanted)
            leaves = wanted_leaves(metadata, names)
            for group in fetched_ahead(file, metadata, groups, names):
                row = int(starts[group])
                for batch in group_batches(file, parquet, group, names, leaves, bounds):
                    numbers = np.arange(row, row + batch.num_rows, dtype=np.int64)
                    row += batch.num_rows
                    complete = let_in(complete_batch(batch, wanted, values, url, numbers), columns, piece.stop_row)
                    if complete.num_rows:
                        yield complete
                    if piece.stop_row is not None and row >= piece.stop_row:
                        return
        except (pa.ArrowException, OSError, UnicodeDecodeError, TooWide) as error:
            raise UnreadableParquet(url, first_line(error)) from None


def group_batches(
    file: PinnedFile, parquet: pq.ParquetFile, group: int, names: Sequence[str], leaves: Sequence[int], bounds: Bounds
) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, so many at once as may be held, its pages looked at before they are unpacked.

    Raises:
        TooWide: behind the first rows, where no writer puts a dictionary.
    """
    metadata = parquet.metadata
    rows = fitting_rows(metadata, group, leaves, bounds)
    is_first = True
    while True:
        file.watch = PageWatch(most_bytes=bounds.page_bytes, expanded_bytes=8 * bounds.window_bytes, rows=rows)
        file.watch.follow(metadata.row_group(group), metadata, leaves)
        try:
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                is_first = False
                yield batch
            return
        except TooWide as found:
            if not is_first:
                raise
            rows = found.rows
            file.prefetch(column_ranges(metadata, [group], names))  # from its beginning, once more


def matching_groups(
    file: PinnedFile,
    parquet: pq.ParquetFile,
    piece: Piece,
    values: Mapping[str, str | None],
    columns: JobColumns,
    wanted: pa.Schema,
) -> list[int]:
    """Leave out the row groups in which, by their statistics or the partition, no row can pass the filter."""
    if columns.where is None:
        return list(piece.row_groups)
    import pyarrow.dataset as ds

    known = parquet.schema_arrow.names
    constants = [
        ds.field(name) == pa.scalar(value, pa.string()).cast(wanted.field(name).type)
        for name, value in values.items()
        if name in wanted.names and name not in known and value is not None
    ]
    condition = pc.scalar(True)
    for constant in constants:
        condition = condition & constant
    try:
        fragment = ds.ParquetFileFormat().make_fragment(
            file, partition_expression=condition, row_groups=piece.row_groups
        )
        return [group.id for group in fragment.subset(columns.where.expression, schema=wanted).row_groups]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # Pruning is a saving, never a decision: the filter itself is applied to every row that is read.
        return list(piece.row_groups)


def fetched_ahead(
    file: PinnedFile, metadata: pq.FileMetaData, groups: Sequence[int], names: Sequence[str]
) -> Iterator[int]:
    """The row groups in their order, each being fetched when it comes; small ones are fetched several at once."""
    ranges = {group: column_ranges(metadata, [group], names) for group in groups}
    left = deque(groups)
    for group in groups:
        asked: list[Range] = []
        size = file.held_bytes
        while left and (left[0] == group or size + size_of(ranges[left[0]]) <= file.ahead_bytes):
            size += size_of(ranges[left[0]])
            asked += ranges.pop(left.popleft())
        if asked:
            file.prefetch(asked)
        yield group


def size_of(ranges: Iterable[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def fitting_rows(metadata: pq.FileMetaData, number: int, leaves: Sequence[int], bounds: Bounds) -> int:
    """How many of a row group's rows are unpacked at once, so that they hold no more than a window, by its mean row.

    Where every value is as wide as the type says, or holds what the one before it began with, the mean says nothing.
    """
    group = metadata.row_group(number)
    mean = sum(group.column(leaf).total_uncompressed_size for leaf in leaves) / max(group.num_rows, 1)
    kinds = [metadata.schema.column(leaf) for leaf in leaves]
    fixed = sum(kind.length for kind in kinds if kind.physical_type == "FIXED_LEN_BYTE_ARRAY")
    most = int(bounds.window_bytes / max(mean, fixed, 1))
    if any("DELTA_BYTE_ARRAY" in group.column(leaf).encodings for leaf in leaves):
        most = min(most, DELTA_ROWS)
    return max(1, min(bounds.read_rows, most))


def complete_batch(
    batch: pa.RecordBatch, wanted: pa.Schema, values: Mapping[str, str | None], url: str, numbers: np.ndarray
) -> pa.RecordBatch:
    """Cast to the plan's schema, fill in what the object lacks, add the partition, and where each row is from."""
    arrays, fields = [], []
    for field in wanted:
        if field.name in batch.schema.names:
            array = batch.column(field.name)
            array = array if array.type == field.type else cast(array, field, url)
        elif (value := values.get(field.name)) is not None:
            array = pa.repeat(pa.scalar(value).cast(field.type), batch.num_rows)
        else:
            array = pa.nulls(batch.num_rows, field.type)
        arrays.append(array)
        fields.append(field.with_nullable(True))
    # The source's name once, not in every row: it is longer than many a text.
    source = pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), [url])
    arrays += [source, pa.array(numbers)]
    fields += [pa.field(OWN_SOURCE, source.type), pa.field(OWN_ROW, pa.int64())]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def cast(array: pa.Array, field: pa.Field, url: str) -> pa.Array:
    """One column as the plan has it.

    Raises:
        SchemaMismatch: a value does not fit, such as an integer that no float holds exactly.
    """
    try:
        return array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaMismatch(
            url,
            expected={field.name: f"{field.type} as in other objects ({first_line(error)})"},
            found={field.name: str(array.type)},
            advice="One column has one type; write the objects alike, or read them in jobs of their own.",
        ) from None


def let_in(batch: pa.RecordBatch, columns: JobColumns, stop_row: int | None) -> pa.RecordBatch:
    """Keep the rows before `stop_row` that pass the filter."""
    if stop_row is not None:
        batch = batch.filter(pc.less(batch.column(OWN_ROW), stop_row))
    return batch.filter(columns.where.expression) if columns.where is not None else batch


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".") or type(error).__name__


def matching_rows(store: Store, shard: Shard, columns: JobColumns, schema: pa.Schema) -> Iterator[int]:
    """Row numbers that pass the filter, reading the filter's columns only."""
    names = columns.where.columns if columns.where else frozenset[str]()
    wanted = pa.schema([schema.field(name) for name in schema.names if name in names])
    for piece in shard.pieces:
        for batch in read_piece(store, piece, shard.values, columns, wanted, Bounds()):
            yield from batch.column(OWN_ROW).to_pylist()
