"""The rows that wait for a lane: who is let in, and what goes into the next window."""

from __future__ import annotations

import math
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from service.lanes.forecast import Forecast
from service.lanes.request import Request, Slice, Window

#: What is promised, as a part of the latency goal: the rest is for what no forecast knows, so that the slowest of a
#: hundred stays inside, too.
PROMISE = 0.85
#: What a window may take, as parts of the goal: at least, at most, and where it holds only what is not promised.
WINDOW_LEAST, WINDOW_MOST, SPARE_WINDOW = 0.1, 0.25, 0.1
#: What a newcomer may wait for all the same, as a part of the goal, while fewer than CROWDED of some REMEMBERED before
#: him would have had to wait longer than they are promised.
STRETCH, CROWDED, REMEMBERED = 0.9, 0.05, 300
#: What of the time is left for large requests while any waits: newcomers are promised so much less.
RESERVE = 0.2

Reason = Literal["queue_full", "predicted_wait", "deadline", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not let in.

    Attributes:
        reason: a word for it.
        wait_s: when it would have been answered.
        limit_s: when it would have had to be.
    """

    reason: Reason
    wait_s: float
    limit_s: float


class LaneQueue:
    """Requests between the event loop that puts and the thread that takes.

    Three kinds wait. Those that can be answered within the latency goal are **promised** it, and are taken by earliest
    due time; a newcomer who would be late is refused, and nobody is let in whom a promise given before would be broken
    for. Where the queue is full for a moment only, a newcomer is let in who is foreseen a little after what is promised
    (`_stretch`), still within the goal. **Large** ones, whose rows alone take longer than what is promised, take turns
    in the time that promises leave, and RESERVE of it is left to them. **Background** rows are taken when nothing else
    waits. No window of the latter two is longer than SPARE_WINDOW of the goal, which is the longest that they hold up a
    newcomer.

    Args:
        forecast: says what rows take.
        slo_s: the latency goal.
        max_rows: rows of each kind that may wait: none of them takes the others' room.
        max_wait_s: predicted seconds of a large request, beyond which it is refused.
        max_window_rows: rows of a window.
        clock: that of the requests' times.
    """

    def __init__(
        self,
        forecast: Forecast,
        *,
        slo_s: float,
        max_rows: int,
        max_wait_s: float,
        max_window_rows: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._forecast, self.slo_s, self.max_rows = forecast, slo_s, max_rows
        self._max_wait_s, self._max_window_rows = max_wait_s, max_window_rows
        self._promised: list[Request] = []
        self._promised_s = 0.0
        self._large: deque[Request] = deque()
        self._background: deque[Request] = deque()
        self._crowded = 0.0
        self._changed = threading.Condition()
        self._running: tuple[Window, float] | None = None
        self.gathering = False
        self.rows = 0
        self.closed = False

    @property
    def running_rows(self) -> int:
        """Rows of the window that is being answered."""
        running = self._running
        return running[0].rows if running else 0

    @property
    def window_s(self) -> float:
        """What a window of promised rows may take: two good micro-batches, within bounds."""
        return min(max(2 * self._forecast.good_s, WINDOW_LEAST * self.slo_s), WINDOW_MOST * self.slo_s)

    @property
    def promise_s(self) -> float:
        """What a newcomer is promised: less than the goal, by what the event loop is late twice."""
        return max(PROMISE * self.slo_s - 2 * self._forecast.lag_s, 0.3 * self.slo_s)

    def put(self, request: Request) -> Refusal | None:
        """Let a request wait, or say why not; its `due` is set to what it is promised. Takes microseconds.

        The thread does not take from an idle queue before `release`: `gathering` says that it is being awaited.
        """
        with self._changed:
            if self.closed:
                return Refusal(reason="closed", wait_s=0.0, limit_s=0.0)
            refusal = self._admit(request)
            if refusal is not None:
                return refusal
            if request.priority == "background":
                self._background.append(request)
            elif request.due == math.inf:
                self._large.append(request)
            else:
                insort(self._promised, request, key=due_of)
                self._promised_s += request.left_s
            self.rows += len(request.values)
            self.gathering = self.gathering or self._running is None
            return None

    def release(self) -> None:
        """Let the thread take what has come."""
        with self._changed:
            self.gathering = False
            self._changed.notify()

    def drop(self, request: Request) -> int:
        """Forget what is left of a request; the number of rows that were never taken."""
        with self._changed:
            return request.rows_left if self._remove(request) else 0

    def close(self) -> None:
        with self._changed:
            self.closed, self.gathering = True, False
            self._changed.notify()

    def take(self) -> Window | None:
        """Wait for rows, then take the next window; None once the queue is closed and empty."""
        with self._changed:
            self._running = None
            while True:
                now = self._clock()
                self._forget_late(now)
                if not self.gathering and (self._promised or self._large or self._background):
                    break
                if self.closed:
                    return None
                self._changed.wait()
            window = self._cut(now)
            self._running = window, now
            return window

    def predicted_wait_s(self) -> float:
        """Seconds until everything that is here now is answered, background rows left out."""
        with self._changed:
            return self._running_left_s(self._clock()) + self._windows_s(
                self._promised_s + sum(request.left_s for request in self._large)
            )

    def _admit(self, request: Request) -> Refusal | None:
        """Refuse a request, or set what it is promised."""
        now, timeout_s = request.arrived, request.deadline - request.arrived
        own_s = request.left_s
        # Rows are answered when their whole window is: later than their own turn by what a window takes.
        limit_s = max(self.promise_s - self.window_s, 0.0)
        is_large = len(request.values) > 1 and own_s + self._forecast.call_s > limit_s
        if self._is_full(request, is_large):
            return Refusal(reason="queue_full", wait_s=self._all_s(now), limit_s=0.0)
        if request.priority == "background" or is_large:
            wait_s = self._all_s(now) + own_s
            if timeout_s < wait_s:
                return self._refuse_deadline(wait_s, timeout_s)
            if request.priority == "interactive" and wait_s > self._max_wait_s and not self._is_idle:
                return Refusal(reason="predicted_wait", wait_s=wait_s, limit_s=self._max_wait_s)
            return None
        request.due = now + min(self.promise_s, timeout_s)
        before_s = self._promised_s
        is_last = not self._promised or self._promised[-1].due <= request.due
        if not is_last:
            before_s = sum(one.left_s for one in self._promised if one.due <= request.due)
        if self._large:
            before_s /= 1 - RESERVE
        wait_s = self._running_left_s(now) + self._windows_s(before_s + own_s)
        if timeout_s < wait_s:
            return self._refuse_deadline(wait_s, timeout_s)
        limit_s = self._stretch(limit_s, wait_s)
        if wait_s > limit_s and not self._is_idle:
            return Refusal(reason="predicted_wait", wait_s=wait_s, limit_s=limit_s)
        if not is_last and self._least_slack_s(now, after=request.due) < own_s:
            return Refusal(reason="predicted_wait", wait_s=wait_s, limit_s=limit_s)
        return None

    def _stretch(self, limit_s: float, wait_s: float) -> float:
        """How long a newcomer may wait: for more than is promised, where the queue is full only for a moment.

        Long rows come in clumps at half of capacity, too. Who is let in on top of one is nearly always in time, and
        nobody is late for him; refused, he would have no answer at all. But where one in some keeps finding a full
        queue, all of them would be answered at the edge of the goal, and too many beyond it.
        """
        self._crowded += ((wait_s > limit_s) - self._crowded) / REMEMBERED
        if self._crowded >= CROWDED:
            return limit_s
        return max(STRETCH * self.slo_s - 2 * self._forecast.lag_s, limit_s)

    def _is_full(self, request: Request, is_large: bool) -> bool:
        """Whether so many of its kind wait that it finds no room."""
        if self.rows + len(request.values) <= self.max_rows:
            return False
        if request.priority == "background":
            kind: Iterable[Request] = self._background
        else:
            kind = self._large if is_large else self._promised
        return sum(one.rows_left for one in kind) + len(request.values) > self.max_rows

    @property
    def _is_idle(self) -> bool:
        """Whether there is nothing interactive but a newcomer: he is let in however long his rows take."""
        if self._promised or self._large:
            return False
        return self._running is None or all(part.request.priority == "background" for part in self._running[0].slices)

    def _refuse_deadline(self, wait_s: float, timeout_s: float) -> Refusal:
        if self._is_idle and timeout_s >= self._forecast.call_s:  # else no forecast would have let him in
            self._forecast.doubt()
        return Refusal(reason="deadline", wait_s=wait_s, limit_s=timeout_s)

    def _cut(self, now: float) -> Window:
        """Choose the rows of a window, at least one; the lock is held."""
        cut = Cut(room=self._max_window_rows)
        if self._promised:
            self._cut_promised(cut, now)
        if self._large:
            room_s = SPARE_WINDOW * self.slo_s
            if cut.taken:
                room_s = min(room_s, cut.due - now - cut.seconds, self._least_slack_s(now) - cut.seconds)
            self._take_turns(self._large, cut, until_s=cut.seconds + room_s)
        if self._background and not cut.taken:
            self._take_turns(self._background, cut, until_s=SPARE_WINDOW * self.slo_s)
        self.rows -= sum(cut.taken.values())
        return cut.window(self._forecast.call_s)

    def _cut_promised(self, cut: Cut, now: float) -> None:
        """Take promised rows, the earliest due first; equal shares of all, where all are in time anyhow."""
        first_s = self._promised[0].due - now
        until_s = min(max(first_s, self._forecast.good_s), self.window_s)
        if self._windows_s(self._promised_s) <= first_s:
            share = len(self._promised)
            for request in self._promised:
                cut.take(request, until_s=until_s, share_s=until_s / share, share=max(cut.most // share, 1))
        for request in self._promised:
            if not cut.take(request, until_s=until_s):
                break
        self._promised = [request for request in self._promised if request.rows_left]
        self._forget_promise(cut.seconds)

    def _take_turns(self, waiting: deque[Request], cut: Cut, *, until_s: float) -> None:
        """Take rows of each in turn; the one of whom rows were taken last comes last the next time."""
        for _ in range(len(waiting)):
            request = waiting[0]
            took_all = cut.take(request, until_s=until_s, share_s=max(until_s - cut.seconds, 0.0) / len(waiting))
            if request in cut.taken:
                waiting.popleft()
                if request.rows_left:
                    waiting.append(request)
            if not took_all and cut.is_full(until_s):
                return

    def _forget_late(self, now: float) -> None:
        """Leave those uncomputed whose deadline has passed; the event loop tells them."""
        late = [one for one in (*self._promised, *self._large, *self._background) if one.deadline <= now]
        for request in late:
            self._remove(request)

    def _remove(self, request: Request) -> bool:
        """Forget what is left of a request; False where nothing of it waits."""
        for place in (self._promised, self._large, self._background):
            if request in place:
                place.remove(request)
                if place is self._promised:
                    self._forget_promise(request.left_s)
                self.rows -= request.rows_left
                return True
        return False

    def _forget_promise(self, seconds: float) -> None:
        self._promised_s = max(self._promised_s - seconds, 0.0) if self._promised else 0.0

    def _running_left_s(self, now: float) -> float:
        """What the window that is being answered takes on; one that is late is taken to be late as long again."""
        if self._running is None:
            return 0.0
        window, begun = self._running
        return abs(window.seconds - (now - begun))

    def _windows_s(self, seconds: float) -> float:
        """What rows of so many seconds take, cut into windows."""
        return seconds + self._forecast.call_s * math.ceil(seconds / max(self.window_s, 1e-6))

    def _all_s(self, now: float) -> float:
        """Until everything is answered."""
        waiting = (*self._large, *self._background)
        return self._running_left_s(now) + self._windows_s(self._promised_s + sum(one.left_s for one in waiting))

    def _least_slack_s(self, now: float, *, after: float = -math.inf) -> float:
        """By how much everything promised could begin later, as far as it is due after a time."""
        before_s, least = self._running_left_s(now), math.inf
        for request in self._promised:
            before_s += request.left_s
            if request.due > after:
                least = min(least, request.due - now - self._windows_s(before_s))
        return least


class Cut:
    """A window in the making."""

    def __init__(self, *, room: int) -> None:
        self.most = self.room = room
        self.seconds, self.due = 0.0, math.inf
        self.taken: dict[Request, int] = {}

    def take(self, request: Request, *, until_s: float, share_s: float = math.inf, share: int | None = None) -> bool:
        """Take rows of a request as far as there is room, time, and its share of both, but one row if there are none.

        Returns:
            Whether none of its rows is left.
        """
        stop = min(len(request.values), request.taken + min(self.room, self.room if share is None else share))
        at, taken_s = request.taken, 0.0
        while at < stop:
            row_s = request.row_s[at]
            is_first = not self.taken and not taken_s  # a window holds one row at least, and a share too
            is_long = self.seconds + taken_s + row_s > until_s or (taken_s > 0 and taken_s + row_s > share_s)
            if is_long and not is_first:
                break
            taken_s += row_s
            at += 1
        if at > request.taken:
            rows = at - request.taken
            self.taken[request] = self.taken.get(request, 0) + rows
            self.room -= rows
            self.seconds += taken_s
            self.due = min(self.due, request.due)
            request.taken, request.left_s = at, max(request.left_s - taken_s, 0.0)
        return request.rows_left == 0

    def is_full(self, until_s: float) -> bool:
        return not self.room or self.seconds >= until_s

    def window(self, call_s: float) -> Window:
        slices = [
            Slice(request=request, start=request.taken - rows, stop=request.taken)
            for request, rows in self.taken.items()
        ]
        return Window(slices=slices, seconds=self.seconds + call_s)


def due_of(request: Request) -> float:
    return request.due
