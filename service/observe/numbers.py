"""Numbers: what one part of the server has counted, and how Prometheus is told of it.

They are ours and not prometheus_client's own: under BentoML that one keeps its values in files which outlive what they
count, so that the metrics of an unloaded model would stay for ever.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: Label values of a family, in the order of its labels.
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric under /metrics.

    Attributes:
        name: without `_total`, which a counter is given under /metrics.
        labels: of each of its series.
        buckets: upper bounds of a histogram, in rising order; the one without bound is added.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Spread:
    """How often a value fell into each bucket, and the sum of the values."""

    __slots__ = ("counts", "total")

    def __init__(self, bounds: int) -> None:
        self.counts, self.total = [0] * (bounds + 1), 0.0


class Numbers:
    """The series of some families. Any thread may count: a lock is held for less than a microsecond.

    Args:
        families: which there are.
        common: label values that come first in every series, such as a lane's model.
    """

    def __init__(self, families: Iterable[Family], *, common: Labels = ()) -> None:
        self.families = {family.name: family for family in families}
        self.common = common
        self._counted: dict[tuple[str, Labels], float] = {}
        self._spread: dict[tuple[str, Labels], Spread] = {}
        self._lock = threading.Lock()
        for family in self.families.values():  # a series without further labels is there from the start, at zero
            if len(family.labels) == len(common):
                self.start(family.name)

    def start(self, name: str, *labels: str) -> None:
        """Let a series be there, at zero: a rate over a series that appears at 1 misses that 1."""
        if self.families[name].kind == "histogram":
            self._spread.setdefault((name, labels), Spread(len(self.families[name].buckets)))
        else:
            self._counted.setdefault((name, labels), 0.0)

    def add(self, name: str, by: float, *labels: str) -> None:
        """Count; what is added to a gauge may be negative."""
        with self._lock:
            self._counted[name, labels] = self._counted.get((name, labels), 0.0) + by

    def set(self, name: str, value: float, *labels: str) -> None:
        """Say what a gauge is now."""
        with self._lock:
            self._counted[name, labels] = float(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Count a value into its bucket."""
        bounds = self.families[name].buckets
        with self._lock:
            spread = self._spread.get((name, labels))
            if spread is None:
                spread = self._spread[name, labels] = Spread(len(bounds))
            spread.counts[bisect_left(bounds, value)] += 1
            spread.total += value

    def value(self, name: str, *labels: str) -> float:
        """What was counted so far; of a histogram, how many values."""
        with self._lock:
            if spread := self._spread.get((name, labels)):
                return sum(spread.counts)
            return self._counted.get((name, labels), 0.0)

    def total(self, name: str, *labels: str) -> float:
        """The sum of what a histogram was given."""
        with self._lock:
            spread = self._spread.get((name, labels))
            return spread.total if spread else 0.0

    def by_label(self, name: str) -> dict[str, float]:
        """The counts of a family by its last label."""
        with self._lock:
            return {labels[-1]: value for (found, labels), value in self._counted.items() if found == name and labels}

    def snapshot(self) -> Iterator[tuple[Family, Labels, float | tuple[list[int], float]]]:
        """Every series as it is now: family, label values, and the value, or counts by bucket and their sum."""
        with self._lock:
            counted = list(self._counted.items())
            spread = [(key, (list(one.counts), one.total)) for key, one in self._spread.items()]
        for (name, labels), value in counted:
            yield self.families[name], (*self.common, *labels), value
        for (name, labels), values in spread:
            yield self.families[name], (*self.common, *labels), values


def describe_numbers(
    numbers: Iterable[Numbers], gauges: Iterable[tuple[Family, Mapping[Labels, float]]] = ()
) -> list[Metric]:
    """Everything as prometheus_client renders it, the series of one family together."""
    from prometheus_client.core import Metric

    metrics: dict[str, Metric] = {}

    def metric(family: Family) -> Metric:
        return metrics.setdefault(family.name, Metric(family.name, family.help, family.kind))

    for one in numbers:
        for family in one.families.values():
            metric(family)
        for family, labels, value in one.snapshot():
            named = dict(zip(family.labels, labels, strict=True))
            if isinstance(value, float):
                metric(family).add_sample(family.name + ("_total" if family.kind == "counter" else ""), named, value)
                continue
            counts, total = value
            below = 0
            for bound, count in zip((*family.buckets, float("inf")), counts, strict=True):
                below += count
                metric(family).add_sample(
                    f"{family.name}_bucket", {**named, "le": "+Inf" if bound == float("inf") else str(bound)}, below
                )
            metric(family).add_sample(f"{family.name}_count", named, below)
            metric(family).add_sample(f"{family.name}_sum", named, total)
    for family, series in gauges:
        for labels, value in series.items():
            metric(family).add_sample(family.name, dict(zip(family.labels, labels, strict=True)), value)
    return list(metrics.values())
