"""Which vectors lie near which: what embeddings are for, and what a cosine between two of them does not show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAREST = 10
#: Rows among which neighbours are looked for: the cost is quadratic in them.
MOST_ROWS = 4096
#: Rows whose similarities to all others are held at once.
BLOCK_ROWS = 512
#: Neighbours nearer to each other than this are as near: float32 says no more.
TIE = 1e-6


def row_cosines(one: Floats, other: Floats) -> Floats:
    """The cosine of each row of one with the same row of the other; a zero vector is like another zero vector only."""
    left, right = unit_rows(one), unit_rows(other)
    zero = ~left.any(axis=1) & ~right.any(axis=1)
    return np.where(zero, 1.0, np.clip((left * right).sum(axis=1), -1.0, 1.0))


def unit_rows(vectors: Floats) -> Floats:
    """Rows of length 1; zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def neighbour_overlap(one: Floats, other: Floats) -> float | None:
    """How many of a row's 10 nearest rows, by cosine, are the same in both, as a share over all rows.

    A neighbour in `other` counts where it is in `one` at least as near as the tenth: of equal rows none is the
    eleventh. Of more than MOST_ROWS rows evenly spaced ones are taken.

    Returns:
        The share; None below 12 rows, where every row is a neighbour of all.
    """
    if len(one) > MOST_ROWS:
        taken = np.linspace(0, len(one) - 1, MOST_ROWS).astype(np.int64)
        one, other = one[taken], other[taken]
    if len(one) < NEAREST + 2:
        return None
    left, right = unit_rows(one), unit_rows(other)
    shared = 0
    for start in range(0, len(left), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(left)))
        near, found = (similarities(vectors, rows) for vectors in (left, right))
        tenth = np.partition(near, -NEAREST, axis=1)[:, -NEAREST]
        nearest = np.argpartition(-found, NEAREST - 1, axis=1)[:, :NEAREST]
        shared += int((np.take_along_axis(near, nearest, axis=1) >= tenth[:, None] - TIE).sum())
    return shared / (NEAREST * len(left))


def similarities(unit: Floats, rows: NDArray[np.int64]) -> Floats:
    """The cosines of the named rows with all; a row is no neighbour of itself."""
    cosines = unit[rows] @ unit.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    return np.asarray(cosines)
