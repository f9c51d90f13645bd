"""Row costs: what rows are expected to take, encoded and predicted, by the model's costs as they are known by now."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.choose.draw import sizes_of
from batch.errors import JobError
from batch.estimate.look import Seen, even_rows
from batch.predict import kept_promise, noted
from batch.read import FIRST_ROWS
from batch.supervise.journal import Journal
from models.blame import blame_of
from models.encode_isolated import encode_isolated
from models.errors import ModelError
from models.micro_batch import finished_at
from models.model import Encoded, Model
from models.window import cut_window, predict_seconds

#: Rows that are encoded to see how long they become, and what encoding may take.
ROWS, SECONDS = 1536, 1.0
#: Rows of each row group that say how dear encoding is.
TRIED_ROWS = 2
#: In windows of more pieces hardly less is padded, and cutting them takes its time.
WINDOW_PIECES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSample:
    """Rows of one row group, encoded.

    Attributes:
        seen: where they are from.
        encoded: what the model makes of them.
        weights: what encoding each takes goes by; shape (rows,).
        row_bytes: of all their columns, a row on average.
        seconds: that encoding took.
    """

    seen: Seen
    encoded: Encoded
    weights: NDArray[np.float64]
    row_bytes: float
    seconds: float


def encode_samples(
    model: Model, seen: Sequence[Seen], column: str, journal: Journal | None = None
) -> list[EncodedSample]:
    """Encode some rows of each row group, as many as ROWS and SECONDS allow.

    Raises:
        ContractBroken: it is the model that raises, and not the rows.
    """
    found = [one for one in seen if one.rows is not None]
    if not found:
        return []
    wanted = -(-ROWS // len(found))
    encode_some(model, found[0], column, TRIED_ROWS, journal)  # what is only paid once is no row's
    started, looked_at = time.perf_counter(), 0
    samples = []
    for one in found:
        samples.append(encode_some(model, one, column, TRIED_ROWS, journal))
        looked_at += samples[-1].encoded.rows
    each_s = (time.perf_counter() - started) / looked_at
    affordable = int(SECONDS / max(each_s, 1e-9) / len(found))
    if affordable <= TRIED_ROWS:
        return samples
    return [encode_some(model, one, column, min(wanted, affordable), journal) for one in found]


def encode_some(model: Model, seen: Seen, column: str, count: int, journal: Journal | None) -> EncodedSample:
    """Encode so many rows, evenly spread over those that were kept."""
    assert seen.rows is not None
    rows = seen.rows.take(pa.array(even_rows(seen.rows.num_rows, count)))
    started = time.perf_counter()
    with kept_promise(model, "encode"):
        encoded = encode_isolated(
            model,
            rows.column(column),
            blame=blame_of(model),
            fatal=(JobError, ModelError),
            watched=partial(noted, journal, "encode", range(rows.num_rows)),
        )
    seconds = time.perf_counter() - started
    weights = encode_weights(model, encoded, rows.column(column))
    return EncodedSample(
        seen=seen, encoded=encoded, weights=weights, row_bytes=rows.nbytes / rows.num_rows, seconds=seconds
    )


def encode_weights(model: Model, encoded: Encoded, values: pa.Array) -> NDArray[np.float64]:
    """What encoding each row takes goes by: an image's bytes, else how long it becomes; something for every row."""
    if model.spec.inputs[0].kind == "image":
        return (sizes_of(values) + 256).astype(np.float64)
    return row_lengths(encoded) + 4.0


def row_lengths(encoded: Encoded) -> NDArray[np.float64]:
    """Tokens, steps or images of each row, all its pieces together."""
    return np.bincount(encoded.piece_rows, weights=encoded.lengths, minlength=encoded.rows).astype(np.float64)


def usual_window(rows: float, most: int) -> float:
    """In how large a window a row of a shard of so many rows is on average: they begin small and grow."""
    left, total, size = rows, 0.0, float(min(FIRST_ROWS, most))
    while left > 0 and size < most:
        taken = min(size, left)
        left, total, size = left - taken, total + taken * taken, min(2 * size, most)
    return (total + max(left, 0) * size) / max(rows, 1)


def distinct_share(shares: Sequence[float], rows: float) -> float:
    """Of the values of a shard of so many rows, those that are new to their window.

    Args:
        shares: of windows of 128, 256, ... rows.
        rows: of the shard.
    """
    left, total, place = rows, 0.0, 0
    while left > 0 and place < len(shares) - 1:
        taken = min(FIRST_ROWS * 2.0**place, left)
        left, total, place = left - taken, total + taken * shares[place], place + 1
    return (total + max(left, 0) * shares[-1]) / max(rows, 1)


def arithmetic_seconds(model: Model, encoded: Encoded, window_rows: float = WINDOW_PIECES) -> NDArray[np.float64]:
    """What the arithmetic of each row is expected to add to a job, in windows of so many rows; shape (rows,)."""
    count = len(encoded.lengths)
    if not count:
        return np.zeros(encoded.rows)
    times = max(1, round(min(window_rows, WINDOW_PIECES) / encoded.rows))
    lengths = np.tile(model.padded_lengths(encoded.lengths), times)
    pieces_s = np.zeros(len(lengths))
    planned = cut_window(model, lengths)
    for chosen, seconds in zip(planned, predict_seconds(model, lengths, planned), strict=True):
        pieces_s[chosen] = seconds * lengths[chosen] / max(lengths[chosen].sum(), 1)
    streams = streams_of(model)
    idle = (
        finished_at(np.asarray(predict_seconds(model, lengths, planned)), streams)
        * streams
        / max(pieces_s.sum(), 1e-12)
    )
    each_s = pieces_s.reshape(times, count).mean(axis=0) * idle / streams
    return np.bincount(encoded.piece_rows, weights=each_s, minlength=encoded.rows).astype(np.float64)


def largest_call(model: Model, encoded: Encoded) -> tuple[NDArray[np.int64], int, float]:
    """Of the micro-batches that a job would make of rows like these, the pieces of the largest.

    Returns:
        Pieces of `encoded`, some of them more than once; what is padded; and the seconds that are expected.
    """
    count = len(encoded.lengths)
    lengths = np.tile(model.padded_lengths(encoded.lengths), max(1, WINDOW_PIECES // count))
    planned = cut_window(model, lengths)
    padded = [len(chosen) * int(lengths[chosen].max()) for chosen in planned]
    most = int(np.argmax(padded))
    return planned[most] % count, padded[most], float(predict_seconds(model, lengths, [planned[most]])[0])


def window_seconds(model: Model, lengths: NDArray[np.int64]) -> float:
    """What the arithmetic of a window is expected to take, its last calls beside idle streams included."""
    if not len(lengths):
        return 0.0
    padded = model.padded_lengths(lengths)
    return finished_at(np.asarray(predict_seconds(model, padded, cut_window(model, padded))), streams_of(model))


def streams_of(model: Model) -> int:
    return max(1, min(model.streams, len(os.sched_getaffinity(0))))
