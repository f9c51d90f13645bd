"""Pace: a few seconds of the job itself, over rows drawn from all of it, into a file that nobody keeps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.bounds import share_memory
from batch.columns import JobColumns
from batch.estimate.extrapolate import Total, order_groups
from batch.estimate.look import Seen
from batch.estimate.row_costs import encode_weights, window_seconds
from batch.estimate.survey import InputSurvey
from batch.overlap import overlap
from batch.predict import EncodedRows, PredictedRows, decode_rows, encode_rows, predict_batches, time_reading
from batch.spec import JobSpec
from batch.supervise.journal import Journal
from batch.write import write_part
from models.blame import blame_of
from models.distinct import distinct_pieces
from models.model import Model

Item = TypeVar("Item")

#: What the trial may take, and what a window of it should.
SECONDS, WINDOW_S = 3.0, 0.25
#: Windows that are answered even where that takes longer: the first shows what is only paid once.
LEAST_WINDOWS = 4
#: Windows that are on their way when the time is over.
UNDER_WAY = 3
#: Rows of the first windows, and how much larger than the one before a window may be.
FIRST_ROWS, GROWTH = 2, 4
MOST_ROWS = 4096
#: The rows go round so often at the most: of a short job that is all there is.
MOST_TIMES = 4
#: What windows' paces differ by without any other work beside them, and how many windows that counts as.
USUAL_SPREAD, USUAL_WINDOWS = 0.08, 4
#: Answers that are kept, to see what they take when they are written.
MOST_ANSWERS = 2048
#: Where no pace was found.
UNKNOWN_SPREAD = 0.5
SEED = 0


@dataclass(slots=True, kw_only=True)
class Window:
    """One window of the trial.

    Attributes:
        lengths: of its pieces, equal ones once.
        weight: what encoding it goes by.
        encode_s: what encoding it took.
        done_s: when its answers were there, from the beginning of the trial.
    """

    rows: int
    lengths: NDArray[np.int64]
    weight: float
    encode_s: float
    done_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Tryout:
    """What a trial found.

    Attributes:
        windows: in their order.
        answers: some of the prediction columns.
        seconds: that it took in all.
    """

    windows: list[Window] = field(default_factory=list)
    answers: list[pa.RecordBatch] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        return sum(window.rows for window in self.windows)

    @property
    def encode_rate(self) -> float:
        """Seconds of encoding for each unit of weight; the first window is not counted."""
        weight = sum(window.weight for window in self.windows[1:])
        return sum(window.encode_s for window in self.windows[1:]) / weight if weight else 0.0

    def factor(self, model: Model) -> Total:
        """Seconds on the clock over those expected of arithmetic and encoding together.

        The first window is not counted: nothing was done beside it.
        """
        walls = np.diff([window.done_s for window in self.windows])
        rate = self.encode_rate
        expected = np.asarray([window_seconds(model, one.lengths) + rate * one.weight for one in self.windows[1:]])
        if not len(walls) or not expected.sum() > 0:
            return Total(value=1.0, error=UNKNOWN_SPREAD)
        factor = float(walls.sum() / expected.sum())
        squares = float(((walls - factor * expected) ** 2).sum()) / walls.sum() ** 2
        usual = USUAL_SPREAD**2 * float((expected**2).sum()) / expected.sum() ** 2
        spread = (USUAL_WINDOWS * usual + len(walls) * squares) / (USUAL_WINDOWS + len(walls))
        return Total(value=factor, error=factor * float(np.sqrt(spread)))


def try_pace(
    job: JobSpec,
    model: Model,
    columns: JobColumns,
    survey: InputSurvey,
    seen: Sequence[Seen],
    journal: Journal | None = None,
) -> Tryout:
    """Answer rows as a worker does, for about SECONDS, or LEAST_WINDOWS windows; what is written is thrown away.

    The model's costs learn from it, as from any job.

    Raises:
        ModelError: the model itself cannot answer.
        StoreUnavailable: this machine's disk is full.
    """
    rows = shuffled(survey, seen)
    if rows is None:
        return Tryout()
    pace, started = Tryout(), time.perf_counter()
    first = survey.groups[seen[0].number]
    bounds = share_memory(job.memory)
    with ExitStack() as threads:

        def ahead(items: Iterator[Item], name: str) -> Iterator[Item]:
            return threads.enter_context(closing(overlap(items, ahead=1, name=name)))

        dealt = time_reading(deal(rows, pace, started))
        blame = blame_of(model)
        windows = encode_rows(model, dealt, column=columns.encoded, bounds=bounds, journal=journal, blame=blame)
        encoded = ahead(with_lengths(windows, pace, model, columns.encoded), "encode")
        answered = ahead(predict_batches(model, encoded, journal=journal, blame=blame), "arithmetic")
        decoded = ahead(decode_rows(model, answered, journal=journal, blame=blame), "decode")
        folder = threads.enter_context(tempfile.TemporaryDirectory(prefix="tandem-plan-"))
        write_part(
            stamped(decoded, pace, started, answers=min(rows.num_rows, MOST_ANSWERS)),
            first.shard,
            columns,
            first.plan.schema,
            key="",
            path=Path(folder) / "part.parquet",
            lineage={},
            group_bytes=bounds.group_bytes,
        )
    pace.seconds = time.perf_counter() - started
    return pace


def shuffled(survey: InputSurvey, seen: Sequence[Seen]) -> pa.RecordBatch | None:
    """The rows that were seen, in an order in which any stretch of them is as all rows of the job are.

    The same input gives the same order. None where no row passes the filter.
    """
    found = [(one, one.rows) for one in seen if one.rows is not None]
    if not found:
        return None
    stand = order_groups(np.asarray([group.bytes_per_row for group in survey.groups]))
    mass = standing_for(stand, survey.weights, np.asarray([one.number for one, _ in found]))
    weights = np.concatenate(
        [np.full(len(kept), mass[place] * one.share / len(kept)) for place, (one, kept) in enumerate(found)]
    )
    # Without replacement, each next row by its weight among those that are left (Efraimidis and Spirakis, 2006).
    lots = np.log(np.random.default_rng(SEED).random(len(weights))) / np.maximum(weights, 1e-9)
    rows = pa.Table.from_batches([kept for _, kept in found]).combine_chunks().to_batches()[0]
    return rows.take(pa.array(np.argsort(-lots)))


def standing_for(
    stand: NDArray[np.float64], rows: NDArray[np.float64], looked_at: NDArray[np.int64]
) -> NDArray[np.float64]:
    """For how many rows each of the row groups that were looked at stands: its own, and those of its like."""
    order = np.argsort(stand[looked_at], kind="stable")
    known = stand[looked_at][order]
    nearest = np.searchsorted((known[1:] + known[:-1]) / 2, stand)
    mass = np.zeros(len(looked_at))
    mass[order] = np.bincount(nearest, weights=rows, minlength=len(known))
    return mass


def deal(rows: pa.RecordBatch, pace: Tryout, started: float) -> Iterator[pa.RecordBatch]:
    """Hand out the rows, again and again, in windows of about WINDOW_S, until the time is over.

    Small ones, until the first is done and it is known how much can be done in that time.
    """
    at, size, dealt, dealt_rows = 0, FIRST_ROWS, 0, 0
    while True:
        elapsed = time.perf_counter() - started
        done = [window for window in pace.windows if window.done_s]
        is_over = elapsed > SECONDS - UNDER_WAY * WINDOW_S or dealt_rows >= MOST_TIMES * rows.num_rows
        if dealt >= LEAST_WINDOWS and is_over:
            return
        if len(done) > 1:
            fitting = sum(window.rows for window in done[1:]) / max(done[-1].done_s - done[0].done_s, 1e-6) * WINDOW_S
            size = int(np.clip(fitting, 1, min(GROWTH * size, MOST_ROWS, rows.num_rows)))
        yield (
            rows.slice(at, size)
            if at + size <= rows.num_rows
            else rows.take(pa.array(np.arange(at, at + size) % rows.num_rows))
        )
        at, dealt, dealt_rows = (at + size) % rows.num_rows, dealt + 1, dealt_rows + size


def with_lengths(windows: Iterable[EncodedRows], pace: Tryout, model: Model, column: str) -> Iterator[EncodedRows]:
    """Note of each window how long its pieces are."""
    for window in windows:
        encoded = window.encoded
        pace.windows.append(
            Window(
                rows=encoded.rows,
                lengths=encoded.lengths[distinct_pieces(encoded)[0]],
                weight=float(encode_weights(model, encoded, window.rows.column(column)).sum()),
                encode_s=window.spent.encode,
            )
        )
        yield window


def stamped(windows: Iterable[PredictedRows], pace: Tryout, started: float, *, answers: int) -> Iterator[PredictedRows]:
    """Note of each window when it was answered, and keep so many of the answers: the same ones again are no more."""
    for number, window in enumerate(windows):
        pace.windows[number].done_s = time.perf_counter() - started
        if (room := answers - sum(batch.num_rows for batch in pace.answers)) > 0:
            pace.answers.append(window.predictions.slice(0, room))
        yield window
