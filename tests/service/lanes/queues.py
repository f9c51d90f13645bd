"""A queue whose forecast is known, without a lane, a thread or a model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from service.lanes.forecast import Forecast
from service.lanes.queue import LaneQueue, Refusal
from service.lanes.request import Priority, Request, Window


class SteadyForecast(Forecast):
    """Every row takes as long as every other, and a call takes nothing beyond its rows."""

    call_s = 0.0  # type: ignore[assignment]
    lag_s = 0.0  # type: ignore[assignment]

    def __init__(self, row_s: float) -> None:
        self.row_s, self.doubts = row_s, 0

    @property
    def good_s(self) -> float:
        return self.row_s

    def foresee(self, values: Sequence[Any]) -> list[float]:
        return [self.row_s] * len(values)

    def doubt(self) -> None:
        self.doubts += 1


class Queue(LaneQueue):
    """A queue whose time passes only as windows take it."""

    now_s = 0.0

    def rest(self) -> None:
        """The thread comes back from its last window and finds nothing."""
        self._running = None


def make_queue(*, row_s: float, slo_s: float, max_rows: int = 1024, max_wait_s: float = 30.0) -> Queue:
    queue = Queue(
        SteadyForecast(row_s),
        slo_s=slo_s,
        max_rows=max_rows,
        max_wait_s=max_wait_s,
        max_window_rows=256,
        clock=lambda: queue.now_s,
    )
    return queue


def put(
    queue: Queue, *, rows: int = 1, priority: Priority = "interactive", timeout_s: float = math.inf
) -> tuple[Request, Refusal | None]:
    """A request that comes now, and why it was not let in."""
    values = [f"row {row}" for row in range(rows)]
    request = Request(
        values=values,
        row_s=queue._forecast.foresee(values),
        future=loop().create_future(),
        priority=priority,
        arrived=queue.now_s,
    )
    request.deadline = request.arrived + timeout_s
    return request, queue.put(request)


def fill(queue: Queue) -> int:
    """Put one request after another until one is refused; how many were let in."""
    let_in = 0
    while put(queue)[1] is None:
        let_in += 1
    return let_in


def take_all(queue: Queue) -> list[Window]:
    """What the thread takes, window after window, until nothing waits."""
    queue.release()
    windows = []
    while queue.rows:
        window = queue.take()
        assert window is not None
        windows.append(window)
        queue.now_s += window.seconds
    return windows


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Where futures belong that nobody awaits."""
    return asyncio.new_event_loop()
