"""Predict: windows of rows -> encoded -> through the model in micro-batches -> answers, row for row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.bounds import Bounds
from batch.errors import JobError
from models.errors import ContractBroken, ModelError, PredictionMismatch
from models.model import Encoded, Model, Outputs
from models.ragged import Ragged
from models.window import WindowStats, run_window

#: Images that are encoded first, to see what one takes.
FIRST_IMAGES = 16


@dataclass(slots=True, kw_only=True)
class Spent:
    """Seconds that a shard's steps took. They overlap, so their sum may exceed the time on the clock.

    Reading, encoding, the arithmetic and decoding have a thread each; writing and committing share one.

    Attributes:
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
    """A window of rows and what the model takes of it."""

    rows: pa.RecordBatch
    encoded: Encoded
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRows:
    """A window of rows and the arithmetic's answers, not yet named."""

    rows: pa.RecordBatch
    encoded: Encoded
    outputs: Outputs
    stats: WindowStats
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRows:
    """A window of rows and its prediction columns, row for row; `lengths` are those of the pieces that they became."""

    rows: pa.RecordBatch
    predictions: pa.RecordBatch
    stats: WindowStats
    spent: Spent
    lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@contextmanager
def kept_promise(model: Model, step: str) -> Iterator[None]:
    """A model says what is wrong with a row in its answer; where it raises instead, no row can be told from another.

    Raises:
        ContractBroken: it raised.
    """
    try:
        yield
    except (JobError, ModelError):
        raise
    except Exception as error:
        promise = f"{step} never raises for a row's sake: the row becomes an error row"
        raise ContractBroken(model.tag, promise=promise, found=f"{type(error).__name__}: {error}") from error


def time_reading(windows: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, Spent]]:
    """Say with each window how long it took to read."""
    started = time.perf_counter()
    for rows in windows:
        yield rows, Spent(read=time.perf_counter() - started)
        started = time.perf_counter()


def encode_rows(
    model: Model, windows: Iterable[tuple[pa.RecordBatch, Spent]], *, column: str, bounds: Bounds
) -> Iterator[EncodedRows]:
    """Turn the encoded column of each window into arrays; rows at fault are settled here.

    A window whose arrays would be more than the bounds allow, judged by those before, is encoded in several: pictures
    of 224 x 224 take 600 KB each, whatever their files took.
    """
    is_image = model.spec.inputs[0].kind == "image"
    rate = 0.0
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
            started = time.perf_counter()
            with kept_promise(model, "encode"):
                encoded = model.encode(rows.column(column))
            if encoded.rows != rows.num_rows:
                raise PredictionMismatch(model.tag, given=rows.num_rows, got=encoded.rows)
            rate = max(rate, size_bytes(encoded) / max(weigh(rows, column, is_image), 1))
            spent.encode += time.perf_counter() - started
            yield EncodedRows(rows=rows, encoded=encoded, spent=spent)
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


def predict_batches(model: Model, windows: Iterable[EncodedRows]) -> Iterator[AnsweredRows]:
    """Send each window through the model in micro-batches of like length; a row that raises costs itself only."""
    for window in windows:
        started = time.perf_counter()
        result = run_window(model, window.encoded)
        window.spent.arithmetic = time.perf_counter() - started
        yield AnsweredRows(
            rows=window.rows, encoded=window.encoded, outputs=result.outputs, stats=result.stats, spent=window.spent
        )


def decode_rows(model: Model, windows: Iterable[AnsweredRows]) -> Iterator[PredictedRows]:
    """Name columns and labels.

    Raises:
        PredictionMismatch: the model answered another number of rows than it was given.
        ContractBroken: it raised.
    """
    for window in windows:
        started = time.perf_counter()
        with kept_promise(model, "decode"):
            predictions = model.decode(window.outputs, window.encoded)
        if predictions.num_rows != window.rows.num_rows:
            raise PredictionMismatch(model.tag, given=window.rows.num_rows, got=predictions.num_rows)
        window.spent.decode = time.perf_counter() - started
        yield PredictedRows(
            rows=window.rows,
            predictions=predictions,
            stats=window.stats,
            spent=window.spent,
            lengths=window.encoded.lengths,
        )
