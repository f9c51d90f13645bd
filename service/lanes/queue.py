"""The rows that wait for a lane, and which of them go into its next window."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.observe.spans import RequestSpan, current_span
from service.schemas import Answer

#: What the newest window weighs among those of like size when the rate is measured.
NEWEST = 0.5


@dataclass(slots=True, eq=False)
class Request:
    """One caller's rows, what they are expected to cost, and the answers that they have so far."""

    values: list[Any]
    future: asyncio.Future[list[Answer]]
    size: int
    arrived: float = field(default_factory=time.monotonic)
    taken: int = 0
    answers: list[Answer] = field(default_factory=list)
    span: RequestSpan | None = field(default_factory=current_span)

    @property
    def answered(self) -> bool:
        return len(self.answers) == len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Consecutive rows of one request, from `start` up to and without `stop`."""

    request: Request
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rows that go through the model together; `size` is what they are expected to cost."""

    slices: Sequence[Slice]
    size: int

    @property
    def values(self) -> list[Any]:
        return [value for part in self.slices for value in part.request.values[part.start : part.stop]]

    @property
    def begun(self) -> list[Request]:
        """The requests whose first row is in this window."""
        return [part.request for part in self.slices if part.start == 0]

    def settle(self, answers: list[Answer], failure: Exception | None) -> None:
        """Give every caller what is his; runs in the event loop. A caller who has gone is passed over."""
        start = 0
        for part in self.slices:
            request, rows = part.request, part.stop - part.start
            if not request.future.done():
                if failure is not None:
                    request.future.set_exception(failure)
                else:
                    request.answers.extend(answers[start : start + rows])
                    if request.answered:
                        request.future.set_result(request.answers)
            start += rows


class LaneQueue:
    """Requests in the order of their arrival, between the event loop that puts and the thread that takes.

    It knows nothing of models but the rate at which windows were answered: predicted seconds are
    expected size / measured rate, where the size of a row is its characters, its steps, or 1 for an image.
    """

    def __init__(self, *, kind: Literal["text", "image", "sequence"], max_rows: int, max_seconds: float) -> None:
        self._kind, self._max_rows, self._max_seconds = kind, max_rows, max_seconds
        self._arriving: deque[Request] = deque()
        self._requests: deque[Request] = deque()
        self._changed = threading.Condition()
        self._rates: dict[int, float] = {}
        self._in_flight_size = 0
        self._waiting_size = 0
        self.rows = 0
        self.closed = False

    def put(self, request: Request) -> None:
        """Let a request wait; windows take it once it is released."""
        with self._changed:
            self._arriving.append(request)
            self.rows += len(request.values)
            self._waiting_size += request.size

    def release(self) -> None:
        """Give the next window what has arrived."""
        with self._changed:
            self._requests.extend(self._arriving)
            self._arriving.clear()
            self._changed.notify()

    @property
    def arriving(self) -> int:
        """Requests that have not been released."""
        return len(self._arriving)

    def drop(self, request: Request) -> int:
        """Forget what is left of a request; the number of rows that were never taken."""
        with self._changed:
            for place in (self._arriving, self._requests):
                if request in place:
                    place.remove(request)
                    left = request.values[request.taken :]
                    self.rows -= len(left)
                    self._waiting_size -= self.size_of(left)
                    return len(left)
            return 0

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify()

    def take(self) -> Window | None:
        """Wait for rows, then take the next window; None once the queue is closed and empty.

        Every waiting request gets an equal share before anybody gets more, and one that could not be taken whole goes
        behind the others: ten thousand rows do not hold up a single one.
        """
        with self._changed:
            while not self._requests:
                if self.closed:
                    return None
                self._changed.wait()
            window = self._cut()
            for part in window.slices:
                self._requests.remove(part.request)
                if part.stop < len(part.request.values):
                    self._requests.append(part.request)
            self.rows -= sum(part.stop - part.start for part in window.slices)
            self._waiting_size -= window.size
            self._in_flight_size = window.size
            return window

    def done(self, window: Window, *, seconds: float, computed: int) -> None:
        """Learn the rate from an answered window, of whose rows `computed` went through the model."""
        with self._changed:
            self._in_flight_size = 0
            if computed:
                rows = len(window.values)
                rate = window.size * min(computed / rows, 1.0) / max(seconds, 1e-6)
                known = self._rates.get(rows.bit_length(), rate)
                self._rates[rows.bit_length()] = NEWEST * rate + (1 - NEWEST) * known

    def predicted_wait_s(self) -> float:
        """Seconds until everything that is here now is answered; 0 before anything was measured."""
        with self._changed:
            rate = self._rate()
            return (self._waiting_size + self._in_flight_size) / rate if rate else 0.0

    def size_of(self, values: Iterable[Any]) -> int:
        """What rows are expected to cost."""
        return sum(map(self._size, values))

    def _rate(self) -> float:
        """Size a second, of the windows whose number of rows goes fastest: a queue that is long is answered in those.

        Rates are kept by number of rows, since lone rows, each paying for a whole call, say nothing of full windows.
        """
        return max(self._rates.values(), default=0.0)

    def _cut(self) -> Window:
        """Choose the rows of a window, at least one."""
        requests = list(self._requests)[: self._max_rows]
        stops = [request.taken for request in requests]
        room, size = self._max_rows, 0
        max_size = self._rate() * self._max_seconds or float("inf")
        for share in (max(self._max_rows // len(requests), 1), self._max_rows):
            for i, request in enumerate(requests):
                until = min(len(request.values), stops[i] + share, stops[i] + room)
                while stops[i] < until and (size == 0 or size < max_size):
                    size += self._size(request.values[stops[i]])
                    stops[i] += 1
                    room -= 1
        slices = []
        for request, stop in zip(requests, stops, strict=True):
            if stop > request.taken:
                slices.append(Slice(request=request, start=request.taken, stop=stop))
                request.taken = stop
        return Window(slices=slices, size=size)

    def _size(self, value: Any) -> int:
        """What a row is expected to cost, as far as can be told before it is encoded; 16 for what every row costs."""
        return 1 if self._kind == "image" else 16 + (min(len(value), 2048) if isinstance(value, str | list) else 0)
