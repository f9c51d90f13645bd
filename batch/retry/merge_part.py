"""Merge: a part as it lies there, with the answers of rows that were run again in the place of their errors."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch.columns import ROW, SOURCE
from batch.errors import StoreUnavailable
from batch.parquet_source import PinnedFile
from batch.read import first_line
from batch.retry.again import Again
from batch.retry.find_errors import PLACE, readable
from batch.retry.recount import Recount
from batch.stores.storage import ObjectInfo, Store
from batch.write import FOOTER_KEY, open_writer
from models.errors import PredictionMismatch
from models.spec import ERROR_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The file that is to replace a part, how many of its error rows it settles anew, and its footer's account."""

    path: Path
    applied: int
    account: dict[str, Any]


def merge_part(store: Store, info: ObjectInfo, again: Again, found: Path, path: Path) -> Merged:
    """Write the part `info` anew, with answers in the place of the errors that are still as they were found.

    Rows, their order, row groups, and every value of other rows and columns stay. Holds a row group at a time.

    Args:
        store: the output's.
        info: the part.
        again: which of its rows were run again.
        found: a file with `_source`, `_row` and predictions of these rows, in their order, and the true label if any.
        path: the file to write.

    Raises:
        InputChanged: the part is no longer of that version.
        UnreadableParquet: it is damaged.
        PredictionMismatch: the answers are not those of the rows.
        StoreUnavailable: this machine's disk is full or fails.
    """
    with ExitStack() as files:
        part, url = files.enter_context(PinnedFile(store, info)), store.url_of(info.key)
        with readable(url):
            parquet = pq.ParquetFile(part, pre_buffer=False)
            metadata = dict(parquet.metadata.metadata)
            count = Recount(json.loads(metadata[FOOTER_KEY]), again)
        answers = open_answers(again, found, files)
        schema = parquet.schema_arrow.remove_metadata()
        try:
            writer = files.enter_context(open_writer(path, schema, again.columns, microseconds=again.beside))
            start = 0
            for group in range(parquet.num_row_groups):
                with readable(url):
                    rows = parquet.read_row_group(group, use_threads=False)
                writer.write_table(with_answers(rows, answers, again, count, start=start), row_group_size=rows.num_rows)
                start += rows.num_rows
            account = count.account()
            kept = {key: value for key, value in metadata.items() if key != b"ARROW:schema"}
            writer.add_key_value_metadata(kept | {FOOTER_KEY: json.dumps(account, sort_keys=True).encode()})
        except OSError as error:
            reason = f"{error.strerror or first_line(error)}; free some space, or name a roomier folder as TMPDIR"
            raise StoreUnavailable("write", f"a part in {tempfile.gettempdir()}", reason) from error
    return Merged(path=path, applied=count.applied, account=account)


class Answers:
    """The answers in their order, so many at a time; holds a batch of them."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.schema = file.schema_arrow.remove_metadata()
        self._batches: Iterator[pa.RecordBatch] = file.iter_batches(4096, use_threads=False)
        self._held: list[pa.RecordBatch] = []

    def take(self, rows: int) -> pa.Table:
        while sum(batch.num_rows for batch in self._held) < rows and (batch := next(self._batches, None)) is not None:
            self._held.append(batch)
        table = pa.Table.from_batches(self._held, self.schema)
        self._held = table.slice(rows).to_batches()
        return table.slice(0, rows)


def open_answers(again: Again, path: Path, files: ExitStack) -> Answers:
    """Open the answers.

    Raises:
        PredictionMismatch: there are more or fewer of them than rows.
    """
    file = files.enter_context(pq.ParquetFile(path))
    if file.metadata.num_rows != again.tried.num_rows:
        raise PredictionMismatch("the job's model", given=again.tried.num_rows, got=file.metadata.num_rows)
    return Answers(file)


def with_answers(rows: pa.Table, answers: Answers, again: Again, count: Recount, *, start: int) -> pa.Table:
    """A row group, which begins at row `start` of its part, with answers in the place of errors."""
    places = again.tried.column(PLACE).to_numpy()
    first, last = np.searchsorted(places, [start, start + rows.num_rows])
    if first == last:
        return rows
    mine, found = again.tried.slice(first, last - first), answers.take(last - first)
    where = places[first:last] - start
    before = rows.select([SOURCE, ROW, "truncated", "error"]).take(where)
    for name in (SOURCE, ROW):
        if before.column(name).to_pylist() != found.column(name).to_pylist():
            raise PredictionMismatch("the job's model", given=last - first, got=found.num_rows)
    still = as_found(before, mine)
    where, before, found = where[still], before.filter(pa.array(still)), found.filter(pa.array(still))
    found = found.set_column(
        found.schema.get_field_index("error"), "error", counted_up(found.column("error"), before.column("error"))
    )
    count.replace(before, found)
    taken = np.arange(rows.num_rows)
    taken[where] = rows.num_rows + np.arange(len(where))
    for field in again.columns.predictions:
        old = rows.column(field.name)
        both = pa.chunked_array([*old.chunks, *found.column(field.name).chunks], old.type).combine_chunks()
        position = rows.schema.get_field_index(field.name)
        rows = rows.set_column(position, rows.schema.field(position), both.take(pa.array(taken)))
    return rows


def as_found(before: pa.Table, tried: pa.Table) -> NDArray[np.bool_]:
    """Which rows are still the errors that were found: another retry may have settled them since."""
    error = before.column("error").combine_chunks()
    same = pc.and_kleene(
        pc.equal(pc.struct_field(error, "attempts"), tried.column("attempts").combine_chunks()),
        pc.equal(pc.struct_field(error, "class"), tried.column("class").combine_chunks()),
    )
    return np.asarray(pc.fill_null(same, False))


def counted_up(errors: pa.ChunkedArray, before: pa.ChunkedArray) -> pa.Array:
    """The errors of rows that failed again, with the attempts that were made before."""
    now, was = errors.combine_chunks(), before.combine_chunks()
    attempts = pc.add(pc.struct_field(now, "attempts"), pc.struct_field(was, "attempts"))
    fields = [pc.struct_field(now, "class"), pc.struct_field(now, "message"), attempts.cast(pa.int32())]
    return pa.StructArray.from_arrays(fields, fields=list(ERROR_TYPE), mask=now.is_null())
