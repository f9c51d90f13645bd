"""Costs -> micro-batches of least measured time: which pieces of a window go through the model together."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.costs import Costs

#: What looking at one place to cut takes, about; and what part of the model's time that may take: half of what planning
#: may, as a window costs it something however few places it looks at.
PLACE_S, SHARE = 6e-6, 0.005
#: A cut over which streams stand idle for more than this part of the time is tried again with smaller micro-batches,
IDLE = 0.03
#: of at most such parts of what each stream has to do.
PARTS = (1, 2, 4, 8)


def plan_micro_batches(
    lengths: NDArray[np.int64],
    *,
    costs: Costs,
    max_rows: int,
    max_padded: int | None = None,
    pads: bool = True,
    places: int | None = None,
    streams: int = 1,
) -> tuple[NDArray[np.int64], ...]:
    """Cut a window into the micro-batches whose times add up to the least.

    Pieces are ordered by length, longest first, so that what needs the most memory comes first, and the best cut of
    that order into consecutive groups is found exactly, by dynamic programming: the best cut of the first n pieces is
    the best cut of fewer and one more group. Every piece is in exactly one micro-batch. Ties keep their order.

    Where the model is so fast that looking at every place would take more than SHARE of its time, groups are cut
    only at every second, third, ... piece: exact among those. Pieces of one length are then shared out evenly over as
    many groups as take the least time, which is looked up and not searched.

    Where several streams work at once and the best cut leaves one of them without work at the end, as that of a small
    window does, cuts into smaller micro-batches are tried too, and the one counts that is done first.

    Args:
        lengths: shape (pieces,), the cost of each piece.
        costs: what a micro-batch takes by its shape.
        max_rows: rows that one may hold.
        max_padded: rows x longest that one may hold, for memory's sake; a single piece is always allowed.
        pads: whether pieces of different lengths may go together.
        places: how many places to cut are looked at, at most; None: as many as SHARE of the model's time allows.
        streams: how many micro-batches are on their way at once, each begun when one before it is done.

    Returns:
        Indices into `lengths`, for each micro-batch.
    """
    if len(lengths) == 0:
        return ()
    order = np.argsort(-lengths, kind="stable")
    ordered = np.maximum(lengths[order], 1)
    if max_rows == 1:
        return tuple(order[:, None])
    if places is None:
        places = allowed_places(ordered, costs, max_rows)
    stride = min(max(1, math.ceil(len(ordered) / max(places, 1))), max_rows)
    if stride > 1 and ordered[0] == ordered[-1]:
        bound = max_rows if max_padded is None else max(1, min(max_rows, max_padded // int(ordered[0])))
        ends = even_edges(len(ordered), costs.planning(min(bound, len(ordered)), ordered[:1])[0], streams)
        return tuple(np.split(order, ends))

    def cut(most_s: float) -> list[int]:
        return best_edges(
            ordered, costs, max_rows=max_rows, max_padded=max_padded, pads=pads, stride=stride, most_s=most_s
        )

    edges = cut(math.inf)
    if streams > 1:
        seconds = group_seconds(ordered, edges, costs)
        least, whole = finished_at(seconds, streams), float(seconds.sum())
        for parts in PARTS:
            if least <= (1 + IDLE) * whole / streams:
                break
            tried = cut(whole / streams / parts)
            done = finished_at(group_seconds(ordered, tried, costs), streams)
            if done < least:
                edges, least = tried, done
    return tuple(np.split(order, edges[1:-1]))


def even_edges(count: int, seconds: NDArray[np.float64], streams: int) -> NDArray[np.int64]:
    """Where to cut pieces of one length into groups that differ by one piece at most, so that all is done first.

    Args:
        count: of the pieces.
        seconds: what a group of 1, 2, ... pieces takes, up to the largest that may be.
        streams: that take the groups in turn, the larger ones first.

    Returns:
        The ends of all groups but the last.
    """
    groups = np.arange(math.ceil(count / len(seconds)), count + 1)
    small, larger = np.divmod(count, groups)
    before = np.arange(streams)[:, None]  # groups that are taken before each stream's first
    turns, large_turns = -(-(groups - before) // streams), -(-(larger - before) // streams)
    done = (turns - large_turns) * seconds[small - 1] + large_turns * seconds[np.minimum(small, len(seconds) - 1)]
    best = int(np.argmin(done.max(axis=0)))
    sizes = np.full(groups[best], small[best])
    sizes[: larger[best]] += 1
    return np.asarray(np.cumsum(sizes)[:-1])


def group_seconds(ordered: NDArray[np.int64], edges: Sequence[int], costs: Costs) -> NDArray[np.float64]:
    """What each group takes, shape (groups,)."""
    return costs.seconds(np.diff(edges), ordered[np.asarray(edges[:-1])])


def finished_at(seconds: NDArray[np.float64], streams: int) -> float:
    """When the last of several streams is done, each of which takes the next group as soon as it is free."""
    free = [0.0] * streams
    for taken in seconds.tolist():
        heapq.heapreplace(free, free[0] + taken)
    return max(free)


def allowed_places(ordered: NDArray[np.int64], costs: Costs, max_rows: int) -> int:
    """How many places planning may look at: SHARE of what the window takes, cut without thinking."""
    rows = min(max_rows, 16)
    seconds = float(costs.seconds(rows, ordered[::rows]).sum())
    return max(int(SHARE * seconds / PLACE_S), 8)


def best_edges(
    ordered: NDArray[np.int64],
    costs: Costs,
    *,
    max_rows: int,
    max_padded: int | None,
    pads: bool,
    stride: int,
    most_s: float = math.inf,
) -> list[int]:
    """Where to cut: 0, each group's end, and last the number of pieces.

    Args:
        ordered: lengths, longest first.
        stride: groups begin and end at multiples of it, and at the end; and wherever `pads` or the bounds ask for it.
        most_s: what a group may take, unless it is one stride.
    """
    count = len(ordered)
    places = cut_places(ordered, stride=stride, pads=pads)
    distinct, which = np.unique(ordered[places[:-1]], return_inverse=True)
    widest = min(max_rows, count)
    table = costs.planning(widest, distinct)
    most = np.full(len(distinct), widest) if max_padded is None else np.clip(max_padded // distinct, 1, widest)
    most = np.minimum(most, np.maximum((table <= most_s).sum(axis=1), 1))
    # A group may not leave its stretch of equal lengths where padding is not allowed.
    until = np.full(len(places) - 1, count) if pads else stretch_ends(ordered)[places[:-1]]
    best = np.full(len(places), np.inf)
    best[0] = 0.0
    came_from = np.zeros(len(places), dtype=np.int64)
    last = np.searchsorted(places, np.minimum(places[:-1] + most[which], until), side="right") - 1
    # Strides wider than the bounds would leave no group at all: then one stride is one group, cut again below.
    last = np.maximum(last, np.arange(1, len(places)))
    sizes = np.diff(places)
    step = int(sizes[0])
    even = bool((sizes == step).all())
    for start in range(len(places) - 1):
        stop = int(last[start]) + 1
        line = table[which[start]]
        if even:
            taken = line[step - 1 : (stop - start - 1) * step : step]
        else:
            taken = line[np.minimum(places[start + 1 : stop] - places[start], widest) - 1]
        total = taken + best[start]
        reached = best[start + 1 : stop]
        better = total < reached
        reached[better] = total[better]
        came_from[start + 1 : stop][better] = start
    edges = [len(places) - 1]
    while edges[-1]:
        edges.append(int(came_from[edges[-1]]))
    cut = [0]
    for a, b in itertools.pairwise(places[edges[::-1]].tolist()):
        cut += split_wide(a, b, ordered, max_rows, max_padded)
    return cut


def split_wide(a: int, b: int, ordered: NDArray[np.int64], max_rows: int, max_padded: int | None) -> list[int]:
    """The ends of the group a..b, cut evenly where a stride was wider than the bounds."""
    most = max_rows if max_padded is None else max(1, min(max_rows, max_padded // int(ordered[a])))
    parts = math.ceil((b - a) / most)
    return [a + (b - a) * part // parts for part in range(1, parts + 1)]


def cut_places(ordered: NDArray[np.int64], *, stride: int, pads: bool) -> NDArray[np.int64]:
    """Where a group may begin or end, ascending from 0 to the number of pieces."""
    places = np.arange(0, len(ordered), stride)
    if not pads and stride > 1:
        places = np.union1d(places, np.flatnonzero(np.diff(ordered)) + 1)
    return np.append(places, len(ordered)).astype(np.int64)


def stretch_ends(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every piece, where its stretch of equal lengths ends."""
    ends = np.append(np.flatnonzero(np.diff(ordered)) + 1, len(ordered))
    return np.asarray(ends[np.searchsorted(ends, np.arange(len(ordered)), side="right")])
