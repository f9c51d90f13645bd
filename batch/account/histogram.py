"""Histograms that add up: fixed classes, so that those of two parts are summed class by class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Lower ends of the classes of lengths: every length up to 5, then four classes to a doubling. What is longer than the
#: last is in it.
LENGTH_EDGES: NDArray[np.int64] = np.unique(np.ceil(2 ** (np.arange(0, 4 * 24) / 4)).astype(np.int64))
#: Classes of scores, of equal width from 0 to 1; the last one holds 1 too.
SCORE_CLASSES = 20


def count_lengths(lengths: NDArray[np.int64]) -> Counter[int]:
    """Lower end of a class -> how many lengths are in it."""
    distinct, rows = np.unique(np.maximum(lengths, 1), return_counts=True)
    places = np.searchsorted(LENGTH_EDGES, distinct, side="right") - 1
    counts = np.bincount(places, weights=rows)
    return Counter({int(LENGTH_EDGES[place]): int(counts[place]) for place in np.flatnonzero(counts)})


def length_above(edge: int) -> int:
    """The first length that is in no class up to the one that begins at `edge`."""
    place = int(np.searchsorted(LENGTH_EDGES, edge, side="right"))
    return int(LENGTH_EDGES[place]) if place < len(LENGTH_EDGES) else 2 * int(LENGTH_EDGES[-1])


def count_scores(scores: pa.Array) -> NDArray[np.int64]:
    """How many scores are in each class; nulls are in none."""
    values = np.asarray(scores.drop_null().to_numpy(zero_copy_only=False), np.float64)
    places = np.clip((values[np.isfinite(values)] * SCORE_CLASSES).astype(np.int64), 0, SCORE_CLASSES - 1)
    return np.bincount(places, minlength=SCORE_CLASSES)
