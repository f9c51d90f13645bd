"""Look: some rows of some row groups, drawn evenly from what is read of each, within a few seconds and megabytes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batch.choose.draw import spread_order
from batch.columns import OWN_ROW, JobColumns
from batch.estimate.extrapolate import choose_groups, order_groups
from batch.estimate.survey import Group, InputSurvey
from batch.read import FIRST_ROWS, USUAL_ROWS, read_rows
from batch.stores.storage import Store

MIB = 1 << 20
#: Row groups that are looked at, without a filter and with one: how many rows pass differs more than how long they are.
GROUPS, FILTERED_GROUPS = 24, 48
#: Rows that are kept, of all row groups together, and their bytes.
ROWS, KEPT_BYTES = 8192, 48 * MIB
#: What reading may take and unpack. Of a row group that is larger than its share, the beginning is read.
SECONDS, READ_BYTES = 2.0, 192 * MIB
#: Where row groups are small, so many rows are to be seen, in so many row groups at the most, so many at once.
LEAST_ROWS, MOST_GROUPS, AT_ONCE = 1024, 400, 8
#: Row groups that are looked at even where that takes longer.
LEAST_GROUPS = 4
#: Rows that are read at once: among so many it is seen how often values repeat.
WINDOW_ROWS = 4096
#: How far the bytes of what was not read of a row group may move what is found in its beginning.
MOST_SKEW = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one row group.

    Attributes:
        number: among the survey's groups.
        rows: some of those that pass the filter, evenly drawn, with the columns that a job reads; None: none passes.
        scanned: rows that were read, before the filter.
        passed: rows that passed it.
        distinct: of its first 128, 256, 512, ... rows, the share whose value had not come before.
        read_bytes: that were fetched, about.
        seconds: that it took.
        skew: mean bytes a row of the whole row group, over those of what was read: 1 where it was read to its end.
    """

    number: int
    rows: pa.RecordBatch | None
    scanned: int
    passed: int
    distinct: tuple[float, ...]
    read_bytes: int
    seconds: float
    skew: float = 1.0

    @property
    def share(self) -> float:
        """Of the rows scanned, those that passed."""
        return self.passed / max(self.scanned, 1)


def look_at(store: Store, survey: InputSurvey, columns: JobColumns) -> list[Seen]:
    """Read rows of row groups that stand for all of them.

    Costs at most about SECONDS and READ_BYTES, or LEAST_GROUPS windows; holds KEPT_BYTES and a window.

    Raises:
        InputChanged, UnreadableParquet: an object is not what was planned.
    """
    groups = survey.groups
    if not groups:
        return []
    stand = order_groups(np.asarray([group.bytes_per_row for group in groups]))
    # Something between rows and bytes: what a long row costs grows less than its bytes.
    size = np.sqrt([max(group.rows, 1) * max(group.encoded_bytes, 1) for group in groups])
    usual = FILTERED_GROUPS if columns.where is not None else GROUPS
    mean_rows = sum(group.rows for group in groups) / len(groups)
    chosen = choose_groups(stand, size, min(max(usual, math.ceil(LEAST_ROWS / mean_rows)), MOST_GROUPS))
    started = time.perf_counter()

    def look(turn: int, place: int) -> Seen | None:
        now = time.perf_counter()
        if turn >= LEAST_GROUPS and now - started > SECONDS:
            return None
        until = max(started + SECONDS, now + SECONDS / LEAST_GROUPS)
        number = int(chosen[place])
        return look_into(store, groups[number], number, columns, shares=len(chosen), until=until)

    # Many small ones at once: each is a request or two, which take longer than its rows.
    with ThreadPoolExecutor(AT_ONCE if len(chosen) > usual else 1, thread_name_prefix="look") as pool:
        seen = list(pool.map(look, itertools.count(), spread_order(len(chosen))))
    return sorted((one for one in seen if one is not None), key=lambda one: one.number)


def look_into(store: Store, group: Group, number: int, columns: JobColumns, *, shares: int, until: float) -> Seen:
    """Read one row group, or as much of it as its share of the bounds allows."""
    started = time.perf_counter()
    drawn = EvenDraw(rows=-(-ROWS // shares), size_bytes=KEPT_BYTES // shares)
    scanned = passed = held_bytes = 0
    distinct: tuple[float, ...] = (1.0,)
    is_whole = True
    for window in windows_of(store, group, columns):
        if not passed:
            distinct = distinct_shares(window.column(columns.encoded))
        passed += window.num_rows
        held_bytes += window.column(columns.encoded).nbytes
        drawn.add(window)
        scanned = window.column(OWN_ROW)[-1].as_py() - group.first_row + 1
        if scanned < group.rows and (held_bytes > READ_BYTES // shares or time.perf_counter() > until):
            is_whole = False
            break
    scanned = group.rows if is_whole else scanned
    read_share = scanned / max(group.rows, 1)
    skew = 1.0
    if not is_whole and columns.where is None and held_bytes:
        skew = float(np.clip(group.bytes_per_row / (held_bytes / passed), 1 / MOST_SKEW, MOST_SKEW))
    return Seen(
        number=number,
        rows=drawn.rows(),
        scanned=scanned,
        passed=passed,
        distinct=distinct,
        read_bytes=int(group.fetched_bytes * read_share),
        seconds=time.perf_counter() - started,
        skew=skew,
    )


def windows_of(store: Store, group: Group, columns: JobColumns) -> Iterator[pa.RecordBatch]:
    """The rows of one row group that pass the filter, as a run reads them."""
    alone = replace(group.shard, pieces=(group.piece,))
    return read_rows(store, alone, columns, group.plan.schema, window_rows=WINDOW_ROWS, first_rows=WINDOW_ROWS)


class EvenDraw:
    """Rows drawn evenly from a stream of unknown length: every n-th, and ever fewer as more go by.

    Args:
        rows: to keep at least, and less than twice as many, where there are so many.
        size_bytes: that they may hold; a single row always may.
    """

    def __init__(self, *, rows: int, size_bytes: int) -> None:
        self._least, self._size_bytes = rows, size_bytes
        self._step, self._next = 1, 0
        self._kept: list[pa.RecordBatch] = []

    def add(self, window: pa.RecordBatch) -> None:
        """Draw from the next rows of the stream."""
        places = np.arange(self._next, window.num_rows, self._step)
        if len(places):
            self._kept.append(window.take(pa.array(places)))
        self._next = (int(places[-1]) + self._step if len(places) else self._next) - window.num_rows
        while self._is_much():
            self._thin()

    def rows(self) -> pa.RecordBatch | None:
        """What was drawn, in its order; None where nothing was."""
        if not self._kept:
            return None
        return pa.Table.from_batches(self._kept).combine_chunks().to_batches()[0]

    def _is_much(self) -> bool:
        count: int = sum(batch.num_rows for batch in self._kept)
        size_bytes: int = sum(batch.nbytes for batch in self._kept)
        return count >= 2 * self._least or (count > 1 and size_bytes > self._size_bytes)

    def _thin(self) -> None:
        """Keep every second row, and from now on draw half as many."""
        joined = self.rows()
        assert joined is not None
        last = joined.num_rows - 1
        self._kept = [joined.take(pa.array(np.arange(0, joined.num_rows, 2)))]
        # The draw goes on a whole step behind the last one that was kept.
        self._next += self._step if last % 2 == 0 else 0
        self._step *= 2


def distinct_shares(column: pa.Array) -> tuple[float, ...]:
    """The share of values that did not come before, among the first 128, 256, ... rows and among all of them.

    1 where that is not easily told, as for lists.
    """
    if pa.types.is_dictionary(column.type):
        column = column.indices
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_integer(kind) or is_large(kind)):
        return (1.0,)
    sizes = window_sizes(len(column))
    return tuple(pc.count_distinct(column.slice(0, size)).as_py() / size for size in sizes)


def is_large(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))


def window_sizes(rows: int) -> list[int]:
    """The sizes of windows that grow from FIRST_ROWS on, up to one that holds all of so many rows."""
    sizes = [min(FIRST_ROWS, rows)]
    while sizes[-1] < min(rows, USUAL_ROWS):
        sizes.append(min(2 * sizes[-1], rows, USUAL_ROWS))
    return sizes


def even_rows(count: int, wanted: int) -> NDArray[np.int64]:
    """So many numbers below `count`, evenly spaced; all of them where there are no more."""
    if wanted >= count:
        return np.arange(count, dtype=np.int64)
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
