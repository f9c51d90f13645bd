"""Recent: what a lane has done in the last minute."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SECONDS = 60
#: Latencies are counted in steps of 5 %, from a tenth of a millisecond on.
LEAST_S, STEP = 1e-4, math.log(1.05)
STEPS = 320


@dataclass(slots=True)
class Second:
    """One second: latencies by step, and how long the worker was busy."""

    number: int
    counts: dict[int, int] = field(default_factory=dict)
    busy_s: float = 0.0


class Recent:
    """A ring of the last 60 seconds. Any thread may call; memory does not grow with requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self._ring = [Second(-1) for _ in range(SECONDS)]
        self._lock = threading.Lock()

    def answered(self, seconds: float) -> None:
        """A request was answered, so long after it came."""
        step = min(max(round(math.log(max(seconds, LEAST_S) / LEAST_S) / STEP), 0), STEPS)
        with self._lock:
            counts = self._now().counts
            counts[step] = counts.get(step, 0) + 1

    def busy(self, seconds: float) -> None:
        """The worker was busy for so long, until now."""
        with self._lock:
            self._now().busy_s += seconds

    def quantiles(self, parts: Sequence[float]) -> list[float | None]:
        """Latencies below which these parts of the requests were answered, within 5 %; None without requests."""
        merged: dict[int, int] = {}
        for second in self._last():
            for step, count in second.counts.items():
                merged[step] = merged.get(step, 0) + count
        return [quantile(merged, part) for part in parts]

    @property
    def busy_share(self) -> float:
        """The part of the time in which the worker was busy."""
        lived_s = min(max(self._clock() - self._begun, 1.0), float(SECONDS))
        return min(sum(second.busy_s for second in self._last()) / lived_s, 1.0)

    def _now(self) -> Second:
        number = int(self._clock())
        second = self._ring[number % SECONDS]
        if second.number != number:
            second = self._ring[number % SECONDS] = Second(number)
        return second

    def _last(self) -> list[Second]:
        with self._lock:
            oldest = int(self._clock()) - SECONDS
            return [Second(one.number, dict(one.counts), one.busy_s) for one in self._ring if one.number > oldest]


def quantile(counts: Mapping[int, int], part: float) -> float | None:
    """The seconds of the step below or at which this part of all counts lies."""
    wanted, below = part * sum(counts.values()), 0
    for step in sorted(counts):
        below += counts[step]
        if below >= wanted:
            return LEAST_S * math.exp(STEP * step)
    return None
