"""One window through the model: equal rows once, micro-batches of least time, a bad row alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.distinct import distinct_pieces
from models.errors import ModelError, OutOfMemory, PredictionMismatch, is_interrupt
from models.micro_batch import plan_micro_batches
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault

Told = Callable[[MicroBatch], None]
#: Is given the pieces of a call and the seconds that it is expected to take; what it returns is held while it lasts.
Watched = Callable[[NDArray[np.int64], float], AbstractContextManager[None]]

#: Streams that run out of memory at once lower one bound.
_BOUND = threading.Lock()


@dataclass(slots=True, kw_only=True)
class WindowStats:
    """What the window cost. `padded` counts what went through the arithmetic, `real` what was not padding.

    Attributes:
        squared: sum of rows x length x length, which attention costs.
        repeated: pieces that another one's answer was good for.
        halved: times that a micro-batch did not fit into memory.
        plan_s: seconds of a processor spent on planning.
        forward_s: seconds that the micro-batches took, padding them included, added up over streams.
        predicted_s: what the planner said that the same calls would take.
    """

    micro_batches: int = 0
    rows: int = 0
    padded: int = 0
    squared: int = 0
    real: int = 0
    repeated: int = 0
    halved: int = 0
    plan_s: float = 0.0
    forward_s: float = 0.0
    predicted_s: float = 0.0

    def add(self, other: WindowStats) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    outputs: Outputs
    stats: WindowStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of one planned micro-batch.

    Attributes:
        parts: what was answered.
        faults: the pieces that are at fault.
        cramped: pieces that did not even alone fit into memory; they are among the faults too.
    """

    parts: Sequence[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]]
    faults: Mapping[int, RowFault]
    cramped: Sequence[int]
    stats: WindowStats


def run_window(
    model: Model, encoded: Encoded, *, told: Told | None = None, watched: Watched | None = None
) -> WindowResult:
    """Answer every piece of `encoded`, in its order.

    A micro-batch that raises is bisected until the pieces at fault stand alone: they become faults, and the others are
    answered. One that does not fit into memory is halved, and later windows are planned below its size. Equal pieces
    go through the model once. Where the model has several streams, so many micro-batches are on their way at once; a
    piece that did not fit beside another stream's is tried again when all of them are done.

    Args:
        model: whose `collate` and `forward` are called.
        encoded: the window.
        told: is given each micro-batch that was answered; called from the streams' threads.
        watched: is around every call; from the same threads.

    Raises:
        PredictionMismatch: the model returned another number of answers than rows: no isolation can mend that.
        ModelError: the model itself cannot answer, whatever the row.
    """
    stats = WindowStats()
    arrays: dict[str, NDArray[Any]] = {}
    faults: dict[int, RowFault] = {}
    first, inverse = distinct_pieces(encoded)
    stats.repeated = len(inverse) - len(first)
    started = time.thread_time()  # while the encoder holds the interpreter's lock, nothing is planned
    lengths = model.padded_lengths(encoded.lengths[first])
    planned = cut_window(model, lengths)
    expected = predict_seconds(model, lengths, planned)
    stats.plan_s = time.thread_time() - started

    def answer(chosen: NDArray[np.int64], expected_s: float) -> Answered:
        return answer_isolated(model, encoded, first, chosen, expected_s, told, watched)

    if model.streams > 1 and len(planned) > 1:
        with ThreadPoolExecutor(model.streams, thread_name_prefix="stream") as streams:
            futures = [streams.submit(answer, *item) for item in zip(planned, expected, strict=True)]
            try:
                results = [future.result() for future in futures]
            except BaseException:
                streams.shutdown(cancel_futures=True)
                raise
        results += [answer(np.asarray([piece]), 0.0) for result in results for piece in result.cramped]
    else:
        results = [answer(*item) for item in zip(planned, expected, strict=True)]
    for result in results:
        stats.add(result.stats)
        faults.update(result.faults)
        for part, answers in result.parts:
            faults.pop(int(part[0]), None)  # a second try's
            for name, array in answers.items():
                if name not in arrays:
                    arrays[name] = np.zeros((len(first), *array.shape[1:]), dtype=array.dtype)
                arrays[name][part] = array
    if len(first) < len(inverse):
        arrays = {name: array[inverse] for name, array in arrays.items()}
        faults = {piece: faults[int(i)] for piece, i in enumerate(inverse) if int(i) in faults} if faults else {}
    return WindowResult(outputs=Outputs(arrays=arrays, faults=faults), stats=stats)


def cut_window(model: Model, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The micro-batches of a window as this model goes through it; see plan_micro_batches."""
    return plan_micro_batches(
        lengths,
        costs=model.costs,
        max_rows=model.max_rows,
        max_padded=model.max_padded,
        pads=model.pads,
        streams=model.streams,
    )


def predict_seconds(model: Model, lengths: NDArray[np.int64], planned: Sequence[NDArray[np.int64]]) -> Sequence[float]:
    """What each planned micro-batch is expected to take."""
    if not planned:
        return []
    shapes = [(len(chosen), int(lengths[chosen[0]])) for chosen in planned]
    seconds: list[float] = model.costs.seconds(*np.asarray(shapes).T).tolist()
    return seconds


def answer_isolated(
    model: Model,
    encoded: Encoded,
    first: NDArray[np.int64],
    chosen: NDArray[np.int64],
    expected_s: float,
    told: Told | None,
    watched: Watched | None,
) -> Answered:
    """Answer one planned micro-batch; where it raises, in halves, down to the pieces that raise alone."""
    parts: list[tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]] = []
    faults: dict[int, RowFault] = {}
    cramped: list[int] = []
    stats = WindowStats()
    pending = [chosen]
    while pending:
        part = pending.pop()
        share_s = expected_s * len(part) / len(chosen)
        call = nullcontext() if watched is None else watched(first[part], share_s)
        try:
            with call:
                parts.append((part, run_micro_batch(model, encoded, first[part], stats, told)))
            stats.predicted_s += share_s
        except ModelError:
            raise
        except BaseException as error:  # a row whose code asks the process to end is a bad row too
            if is_interrupt(error):
                raise
            is_memory = isinstance(error, OutOfMemory | MemoryError)
            if is_memory:
                lower_bound(model, encoded.lengths[first[part]])
                stats.halved += len(part) > 1
            if len(part) > 1:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
            else:
                faults[int(part[0])] = RowFault(kind=type(error).__name__, message=str(error))
                cramped += [int(part[0])] * is_memory
    return Answered(parts=parts, faults=faults, cramped=cramped, stats=stats)


def lower_bound(model: Model, lengths: NDArray[np.int64]) -> None:
    """Let no later micro-batch be planned as large as one that did not fit into memory: half of it at most."""
    half = max(len(lengths) * int(lengths.max()) // 2, 1)
    with _BOUND:
        model.max_padded = half if model.max_padded is None else min(half, model.max_padded)


def run_micro_batch(
    model: Model, encoded: Encoded, pieces: NDArray[np.int64], stats: WindowStats, told: Told | None = None
) -> Mapping[str, NDArray[Any]]:
    """Send the named pieces through the model once, check that each has an answer, and learn what it took.

    Raises:
        PredictionMismatch: fewer or more answers than pieces.
    """
    length = int(model.padded_lengths(encoded.lengths[pieces]).max())
    started = time.perf_counter()
    micro_batch = model.collate(encoded, pieces)
    answers = model.forward(micro_batch)
    seconds = time.perf_counter() - started
    for array in answers.values():
        if len(array) != len(pieces):
            raise PredictionMismatch(model.tag, given=len(pieces), got=len(array))
    model.costs.observe(len(pieces), length, seconds)
    stats.micro_batches += 1
    stats.rows += len(pieces)
    stats.padded += micro_batch.padded
    stats.squared += micro_batch.padded**2 // micro_batch.rows
    stats.real += int(encoded.lengths[pieces].sum())
    stats.forward_s += seconds
    if told is not None:
        told(micro_batch)
    return answers
