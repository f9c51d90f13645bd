"""Extrapolate: from a few row groups that were looked at to all of them, with how far that may be off.

What a footer says of every row group, the bytes of a row, orders them: a row group that was not looked at is taken to
be as its neighbours in that order are. So neither files sorted by length nor one heavy file at the end are overlooked.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Deviates of an interval that holds nine of ten: Student's with six degrees of freedom, as spreads are themselves
#: known from a handful of measurements. Normal ones (1.645) held 87 of 100 (`python -m benchmarks.estimates`).
NINE_OF_TEN = 1.943
#: Row groups whose rows are of about the same size are ordered by place; so far does the last differ from the first.
PLACE_OCTAVES = 0.1
#: Two dozen differences hold few of the rare large ones: by so much their squares are too small, in simulations.
FEW = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A sum over all rows, and the standard error of it."""

    value: float
    error: float = 0.0

    def times(self, factor: float) -> Total:
        return Total(value=self.value * factor, error=self.error * abs(factor))

    def plus(self, other: Total) -> Total:
        return Total(value=self.value + other.value, error=float(np.hypot(self.error, other.error)))

    def product(self, other: Total) -> Total:
        """Of two numbers that are wrong independently of each other."""
        value = self.value * other.value
        return Total(value=value, error=abs(value) * float(np.hypot(self.relative, other.relative)))

    @property
    def relative(self) -> float:
        return self.error / self.value if self.value else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A number that is not known yet: about `value`, in nine of ten cases from `low` to `high`."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half of it, as a share of its value."""
        return (self.high - self.low) / 2 / self.value if self.value else 0.0

    def to_json(self) -> dict[str, float]:
        return {name: float(f"{getattr(self, name):.4g}") for name in ("value", "low", "high")}


def interval_of(total: Total, *, at_least: float = 0.0, at_most: float = np.inf) -> Interval:
    """Nine of ten, of what is never negative: errors are factors rather than differences."""
    spread = np.exp(NINE_OF_TEN * np.sqrt(np.log1p(total.relative**2)))
    low, high = (float(np.clip(bound, at_least, at_most)) for bound in (total.value / spread, total.value * spread))
    return Interval(value=float(np.clip(total.value, at_least, at_most)), low=low, high=high)


def order_groups(bytes_per_row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each row group stands: by its bytes a row, in octaves, and among like ones by its place in the input."""
    places = np.linspace(0, PLACE_OCTAVES, len(bytes_per_row)) if len(bytes_per_row) > 1 else np.zeros(1)
    return np.asarray(np.log2(np.maximum(bytes_per_row, 1.0)) + places, dtype=np.float64)


def choose_groups(stand: NDArray[np.float64], size: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The row groups to look at: the least, the most, and the others so that each stands for as much of `size`.

    Args:
        stand: see order_groups.
        size: what each is taken to weigh in the total.
        count: how many; all of them where there are no more.

    Returns:
        Ascending by `stand`.
    """
    order = np.argsort(stand, kind="stable")
    if len(order) <= count:
        return order
    middles = np.cumsum(size[order]) - size[order] / 2
    targets = (np.arange(count - 2) + 0.5) / max(count - 2, 1) * size.sum()
    chosen = {0, len(order) - 1, *np.searchsorted(middles, targets).clip(0, len(order) - 1).tolist()}
    # A few large ones may be hit several times: the gaps of most weight are filled.
    while len(chosen) < count:
        cuts = sorted(chosen)
        gaps = [size[order[low + 1 : high]].sum() for low, high in itertools.pairwise(cuts)]
        widest = int(np.argmax(gaps))
        chosen.add((cuts[widest] + cuts[widest + 1]) // 2)
    return np.asarray(order[sorted(chosen)], dtype=np.int64)


def sum_up(
    stand: NDArray[np.float64],
    rows: NDArray[np.float64],
    looked_at: NDArray[np.int64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
) -> Total:
    """The sum over all row groups of what was found in a few.

    A row group that was not looked at is interpolated between its neighbours in the order. What two neighbours differ
    by says how wrong that may be; the variances say how wrong each mean may be.

    Args:
        stand: see order_groups; shape (groups,).
        rows: of each group, before the filter.
        looked_at: which groups were.
        means: of those, per row before the filter.
        variances: of these means.
    """
    unseen = np.setdiff1d(np.arange(len(stand)), looked_at)
    value = float(rows @ spread_out(stand, looked_at, means))
    own = float((rows[looked_at] ** 2) @ variances)
    order = np.argsort(stand[looked_at], kind="stable")
    known, found = stand[looked_at][order], means[order]
    if not len(unseen) or len(known) < 2:
        return Total(value=value, error=float(np.sqrt(own + float(rows[unseen].sum() ** 2) * float(variances.sum()))))
    gap = np.clip(np.searchsorted(known, stand[unseen]) - 1, 0, len(known) - 2)
    mass = np.bincount(gap, weights=rows[unseen], minlength=len(known) - 1)
    # As far as the neighbours are off, all in a gap are; and each of them differs from them besides.
    besides = np.bincount(gap, weights=rows[unseen] ** 2, minlength=len(known) - 1)
    between = FEW * float((mass**2 + besides) @ np.diff(found) ** 2) / 2
    return Total(value=value, error=float(np.sqrt(own + between)))


def spread_out(
    stand: NDArray[np.float64], looked_at: NDArray[np.int64], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean of every row group: as it was found, else between those of its neighbours."""
    order = np.argsort(stand[looked_at], kind="stable")
    every = np.interp(stand, stand[looked_at][order], means[order])
    every[looked_at] = means
    return np.asarray(every, np.float64)


def mean_of(values: NDArray[np.float64], *, among: int) -> tuple[float, float]:
    """The mean of rows that were drawn evenly from `among` rows, in their order, and its variance.

    Rows in an order are judged by what neighbours differ by: of a sorted row group, an even draw is nearly exact.
    """
    count = len(values)
    if not count:
        return 0.0, 0.0
    if count >= among:
        return float(values.mean()), 0.0
    variance = float((np.diff(values) ** 2).sum()) / (2 * (count - 1)) if count > 1 else float(values[0] ** 2)
    return float(values.mean()), variance / count * (1 - count / among)
