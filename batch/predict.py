"""Predict: windows of rows -> encoded -> through the model in micro-batches -> answers, row for row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.account.counts import Counts, count_answers
from batch.bounds import Bounds
from batch.errors import JobError
from batch.supervise.journal import Journal, Step
from models.blame import Blame
from models.decode_isolated import decode_isolated
from models.encode_isolated import encode_isolated
from models.errors import ContractBroken, ModelError, is_interrupt
from models.model import Encoded, Model, Outputs, RowFault
from models.ragged import Ragged
from models.window import WindowStats, run_window

#: Images that are encoded first, to see what one takes.
FIRST_IMAGES = 16


@dataclass(slots=True, kw_only=True)
class Spent:
    """Seconds that a shard's steps took. They overlap, so their sum may exceed the time on the clock.

    Reading, encoding, the arithmetic and decoding have a thread each; writing and committing share one.

    Attributes:
        isolate: attempts that a row ended, and the search for that row; nothing else of the shard overlaps with it.
        wait: the arithmetic waited for encoded rows.
        encode_idle, decode_idle, write_idle: the step waited for what the one before it makes.
        read_held, encode_held, arithmetic_held, decode_held: the step was ahead, and waited for the next one to take a
            window.
    """

    read: float = 0.0
    encode: float = 0.0
    wait: float = 0.0
    arithmetic: float = 0.0
    decode: float = 0.0
    write: float = 0.0
    commit: float = 0.0
    isolate: float = 0.0
    encode_idle: float = 0.0
    decode_idle: float = 0.0
    write_idle: float = 0.0
    read_held: float = 0.0
    encode_held: float = 0.0
    arithmetic_held: float = 0.0
    decode_held: float = 0.0

    def add(self, other: Spent) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """A window of rows and what the model takes of it; `first` is how many rows of the shard came before."""

    rows: pa.RecordBatch
    encoded: Encoded
    spent: Spent
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRows:
    """A window of rows and the arithmetic's answers, not yet named."""

    rows: pa.RecordBatch
    encoded: Encoded
    outputs: Outputs
    stats: WindowStats
    spent: Spent
    first: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRows:
    """A window of rows and its prediction columns, row for row.

    Attributes:
        lengths: of the pieces that the rows became.
        counts: of the answers, where they were counted as they were named.
    """

    rows: pa.RecordBatch
    predictions: pa.RecordBatch
    stats: WindowStats
    spent: Spent
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: Counts | None = None


@contextmanager
def kept_promise(model: Model, step: str) -> Iterator[None]:
    """A model says what is wrong with a row in its answer; where no row raises alone, it is not the rows.

    Raises:
        ContractBroken: it raised.
    """
    try:
        yield
    except (JobError, ModelError):
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        promise = f"{step} never raises for a row's sake: the row becomes an error row"
        raise ContractBroken(model.tag, promise=promise, found=f"{type(error).__name__}: {error}") from error


def time_reading(windows: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, Spent]]:
    """Say with each window how long it took to read."""
    started = time.perf_counter()
    for rows in windows:
        yield rows, Spent(read=time.perf_counter() - started)
        started = time.perf_counter()


def noted(journal: Journal | None, step: Step, rows: Any, expected_s: float = 0.0) -> AbstractContextManager[None]:
    """Around a call of the model's code: its supervisor sees its rows, should it never come back."""
    return nullcontext() if journal is None else journal.call(step, rows, expected_s)


def encode_rows(
    model: Model,
    windows: Iterable[tuple[pa.RecordBatch, Spent]],
    *,
    column: str,
    bounds: Bounds,
    journal: Journal | None = None,
    poison: Mapping[int, RowFault] | None = None,
    first: int = 0,
    blame: Blame | None = None,
) -> Iterator[EncodedRows]:
    """Turn the encoded column of each window into arrays; rows at fault are settled here.

    A window whose arrays would be more than the bounds allow, judged by those before, is encoded in several: pictures
    of 224 x 224 take 600 KB each, whatever their files took.

    Args:
        model: whose `encode` is called.
        windows: rows, and what they have cost.
        column: which of their columns.
        bounds: of the arrays.
        journal: where calls are noted.
        poison: rows that the model is not shown: position in the shard -> the fault that they end with.
        first: the position of the first row.
        blame: judges whether it is the rows that raise; None: it always is.

    Raises:
        ContractBroken: it is the model that raises, and not the rows.
        PredictionMismatch: it encoded another number of rows than it was given.
    """
    is_image = model.spec.inputs[0].kind == "image"
    rate = pace_s = 0.0
    for window, spent in windows:
        start = 0
        while start < window.num_rows:
            rows = window.slice(start)
            if rate and (weight := weigh(rows, column, is_image)) * rate > bounds.encoded_bytes:
                fitting = int(rows.num_rows * bounds.encoded_bytes / (weight * rate))
                rows = rows.slice(0, max(fitting, bounds.encoded_rows))
            elif not rate and is_image:
                rows = rows.slice(0, FIRST_IMAGES)
            start += rows.num_rows
            span = range(first, first + rows.num_rows)
            first = span.stop
            if journal is not None:
                journal.enter(span.stop)
            started = time.perf_counter()
            with kept_promise(model, "encode"):
                encoded = encode_isolated(
                    model,
                    rows.column(column),
                    {row - span.start: fault for row, fault in (poison or {}).items() if row in span},
                    blame=blame,
                    fatal=(JobError, ModelError),
                    watched=partial(noted, journal, "encode", span, pace_s * len(span)),
                )
            rate = max(rate, size_bytes(encoded) / max(weigh(rows, column, is_image), 1))
            seconds = time.perf_counter() - started
            pace_s = max(pace_s, seconds / len(span))
            spent.encode += seconds
            yield EncodedRows(rows=rows, encoded=encoded, spent=spent, first=span.start)
            spent = Spent()


def weigh(rows: pa.RecordBatch, column: str, is_image: bool) -> int:
    """What the size of the arrays goes by: the number of images, else the bytes of the values."""
    return int(rows.num_rows if is_image else rows.column(column).nbytes)


def size_bytes(encoded: Encoded) -> int:
    """What the arrays of a window hold."""
    return sum(
        feature.values.nbytes if isinstance(feature, Ragged) else sum(array.nbytes for array in feature)
        if not isinstance(feature, np.ndarray) else feature.nbytes
        for feature in encoded.features.values()
    )  # fmt: skip


def predict_batches(
    model: Model, windows: Iterable[EncodedRows], *, journal: Journal | None = None, blame: Blame | None = None
) -> Iterator[AnsweredRows]:
    """Send each window through the model in micro-batches of like length; a row that raises costs itself only.

    Raises:
        ContractBroken: it is the model that raises, and not the rows.
        PredictionMismatch: it answered another number of rows than it was given.
    """
    for window in windows:
        started = time.perf_counter()

        def watched(
            pieces: NDArray[np.int64], expected_s: float, window: EncodedRows = window
        ) -> AbstractContextManager[None]:
            return noted(journal, "forward", window.first + window.encoded.piece_rows[pieces], expected_s)

        result = run_window(model, window.encoded, watched=None if journal is None else watched)
        if blame is not None:
            faults = result.outputs.faults
            has_passed = len(faults) < len(window.encoded.piece_rows)
            span = range(window.first, window.first + window.rows.num_rows)
            with noted(journal, "forward", span):  # a sample may go through the model
                blame.judge(model, "forward", [*faults.values()], has_passed=has_passed)
        window.spent.arithmetic = time.perf_counter() - started
        yield AnsweredRows(
            rows=window.rows,
            encoded=window.encoded,
            outputs=result.outputs,
            stats=result.stats,
            spent=window.spent,
            first=window.first,
        )


def decode_rows(
    model: Model, windows: Iterable[AnsweredRows], *, journal: Journal | None = None, blame: Blame | None = None
) -> Iterator[PredictedRows]:
    """Name columns and labels; a row that raises, or whose answer is not finite, costs itself only.

    Raises:
        PredictionMismatch: the model answered another number of rows than it was given.
        ContractBroken: it is the model that raises, and not the rows, or it answered with something else than the
            declared columns.
    """
    for window in windows:
        started = time.perf_counter()
        span = range(window.first, window.first + window.rows.num_rows)
        with kept_promise(model, "decode"):
            watched = partial(noted, journal, "decode", span)
            predictions = decode_isolated(model, window.outputs, window.encoded, blame=blame, watched=watched)
        counts = count_answers(predictions, window.encoded.lengths)
        window.spent.decode = time.perf_counter() - started
        yield PredictedRows(
            rows=window.rows,
            predictions=predictions,
            stats=window.stats,
            spent=window.spent,
            lengths=window.encoded.lengths,
            counts=counts,
        )
