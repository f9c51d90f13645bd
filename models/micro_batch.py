"""Costs -> micro-batches: which pieces of a window go through the model together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def plan_micro_batches(lengths: NDArray[np.int64], *, budget: int, max_rows: int = 256) -> Iterator[NDArray[np.int64]]:
    """Cut a window into micro-batches of like length.

    Pieces are ordered by length, longest first, so that the batch that needs the most memory comes first, and are cut
    where rows x longest would pass `budget`. Every piece is in exactly one micro-batch; a piece longer than
    the budget is a micro-batch of its own. Ties keep their order, so the same window is always cut the same way.

    Args:
        lengths: shape (pieces,), the cost of each piece.
        budget: padded cost that a micro-batch may reach.
        max_rows: rows that it may hold.

    Yields:
        Indices into `lengths`.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = min(max(budget // longest, 1), max_rows)
        yield order[start : start + rows]
        start += rows
