"""Lane: one model, one bounded queue, one thread; concurrent requests share its windows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from models.errors import PredictionMismatch
from models.spec import ModelSpec
from service.errors import (
    DeadlinePassed,
    DeadlineUnmeetable,
    LaneClosed,
    LaneHangs,
    ModelDown,
    ModelFailed,
    QueueFull,
    ServiceError,
    TooManyRows,
    WaitTooLong,
)
from service.lanes.forecast import Forecast
from service.lanes.load import LaneLoad, describe_load
from service.lanes.queue import LaneQueue, Refusal
from service.lanes.recent import Recent
from service.lanes.request import Priority, Request, Slice, settle
from service.lanes.worker import Answered, StepFailed, Worker
from service.observe.lane_metrics import LaneMetrics
from service.observe.lane_spans import tell_window
from service.schemas import Answer, ModelCard

log = logging.getLogger("bentoml.tandem")

#: How many turns of the event loop without an arrival end the gathering of requests that are just being read.
QUIET_TURNS = 4
#: How long an idle lane lets the event loop read requests that keep arriving.
MAX_GATHER_S = 0.01
#: Rows that wait when a lane is closed are answered, for so long at least, and at most.
CLOSE_S, MOST_CLOSE_S = 10.0, 120.0
#: A caller who names no deadline is told after so long that the model hangs, or after so many times what was foreseen.
HANGS_S, HANGS_TIMES = 600.0, 3.0


class Lane:
    """Answers rows of one model, those of concurrent requests together, within a latency goal.

    The thread never waits while there is something to do, and nobody waits for company: an idle lane takes a request
    as soon as the event loop has read what had arrived with it; while the lane is busy, arrivals gather, and the next
    window takes what service/lanes/queue.py says. Who cannot be answered in time is refused at once, and those inside
    keep what they were promised. Rows keep their order within a request.

    A row at fault costs only its own answer. Where the model itself breaks down over a window, its requests are
    tried in halves until those stand alone that it breaks down over; they are told (ModelFailed), and nobody gets
    another row's answer. A caller who has gone is dropped uncomputed.

    Args:
        worker: answers windows, in this lane's thread.
        slo_s: the latency goal.
        max_queue_rows: rows that may wait; more are refused with QueueFull.
        max_wait_s: predicted seconds beyond which a request is refused that is too large for the goal.
        max_window_rows: rows that one window takes at most.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        slo_s: float,
        max_queue_rows: int,
        max_wait_s: float,
        max_window_rows: int = 256,
    ) -> None:
        self.worker = worker
        self.forecast = Forecast(worker)
        self.queue = LaneQueue(
            self.forecast, slo_s=slo_s, max_rows=max_queue_rows, max_wait_s=max_wait_s, max_window_rows=max_window_rows
        )
        self.metrics = LaneMetrics(worker.tag)
        self.recent = Recent()
        if worker.samples:
            self.forecast.prime(worker.samples)
        self._thread = threading.Thread(target=self._work, name=f"lane-{worker.tag}", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> ModelSpec:
        return self.worker.spec

    @property
    def tag(self) -> str:
        return self.worker.tag

    @property
    def digest(self) -> str:
        return self.worker.digest

    @property
    def variant(self) -> str:
        return self.worker.variant

    @property
    def alive(self) -> bool:
        """Whether the lane can answer."""
        return self._thread.is_alive() and not self.queue.closed and self.worker.alive

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a window."""
        return self.queue.rows

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until everything interactive that is here now is answered."""
        return self.queue.predicted_wait_s()

    def card(self) -> ModelCard:
        return self.worker.card()

    def load(self) -> LaneLoad:
        """What GET /lanes says of it."""
        return describe_load(self)

    async def submit(
        self, values: list[Any], *, priority: Priority = "interactive", timeout_s: float | None = None
    ) -> list[Answer]:
        """Answer the values of the input column: one entry for each, in their order.

        A row at fault costs only its own answer. Cancelled, what was not begun is never computed.

        Args:
            values: of the input column.
            priority: `background` takes its turn where nothing interactive waits.
            timeout_s: how long the caller waits for his answers.

        Raises:
            TooManyRows: more values than the queue ever holds.
            QueueFull: the queue is full now.
            WaitTooLong: the latency goal cannot be met now.
            DeadlineUnmeetable: `timeout_s` cannot be met now.
            DeadlinePassed: it was not.
            LaneHangs: without `timeout_s`, after far longer than was foreseen.
            ModelFailed: the model broke down over rows of this request.
            LaneClosed: the lane is being stopped.
            ModelDown: the model's process ended, and none has come back.
        """
        if not values:
            return []
        loop = asyncio.get_running_loop()
        request = Request(
            values=values, row_s=self.forecast.foresee(values), future=loop.create_future(), priority=priority
        )
        if timeout_s is not None:
            request.deadline = request.arrived + timeout_s
        is_gathering = self.queue.gathering
        self._admit(request)
        if self.queue.gathering and not is_gathering:
            loop.call_soon(self._gather, loop, self.queue.rows, QUIET_TURNS, time.monotonic() + MAX_GATHER_S)
        most_s = timeout_s if timeout_s is not None else max(HANGS_S, HANGS_TIMES * self.predicted_wait_s)
        watch = loop.call_later(most_s, self._expire, request, most_s, timeout_s is not None)
        try:
            answers = await request.future
        except ModelFailed:
            self.metrics.failed()
            raise
        finally:
            watch.cancel()
            if not request.answered:
                dropped = self.queue.drop(request)
                if request.future.cancelled():
                    self.metrics.left(dropped)
        seconds = time.monotonic() - request.arrived
        self.metrics.answered(seconds)
        self.recent.answered(seconds)
        return answers

    def close(self, *, timeout_s: float | None = None) -> None:
        """Take no more rows, answer those that wait, end the thread, and close the worker.

        Args:
            timeout_s: after which rows that still wait are given up; None: far later than they are expected to take.
        """
        self.queue.close()
        if timeout_s is None:
            timeout_s = min(max(CLOSE_S, HANGS_TIMES * self.predicted_wait_s), MOST_CLOSE_S)
        self._thread.join(timeout_s)
        self.worker.close()

    def check_rows(self, rows: int) -> None:
        """Refuse a request that the queue never holds, before anything is spent on it.

        Raises:
            TooManyRows: it is one.
        """
        if rows > self.queue.max_rows:
            self.metrics.shed("too_many_rows", rows)
            raise TooManyRows(rows=rows, limit=self.queue.max_rows)

    def _admit(self, request: Request) -> None:
        """Let a request wait, or refuse it."""
        rows = len(request.values)
        if not self.alive:
            self.metrics.shed("closed", rows)
            is_down = self._thread.is_alive() and not self.queue.closed
            raise ModelDown(self.tag) if is_down else LaneClosed(self.tag)
        self.check_rows(rows)
        refusal = self.queue.put(request)
        if refusal is not None:
            self.metrics.shed(refusal.reason, rows)
            raise self._refusal_error(refusal, rows)

    def _refusal_error(self, refusal: Refusal, rows: int) -> ServiceError:
        if refusal.reason == "closed":
            return LaneClosed(self.tag)
        if refusal.reason == "deadline":
            return DeadlineUnmeetable(self.tag, wait_s=refusal.wait_s, timeout_s=refusal.limit_s)
        if refusal.reason == "predicted_wait":
            return WaitTooLong(self.tag, wait_s=refusal.wait_s, limit_s=refusal.limit_s)
        return QueueFull(
            self.tag,
            queued=self.queue.rows,
            rows=rows,
            limit=self.queue.max_rows,
            retry_after_s=max(1, math.ceil(refusal.wait_s)),
        )

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int, until: float) -> None:
        """Hand the gathered requests over once the event loop brings no more, or at `until`.

        Requests that were sent together are read one after another by this one event loop. Starting the thread at the
        first of them would not answer it sooner (both want the same interpreter lock), only without its company.
        """
        if self.queue.rows > seen:
            seen, turns = self.queue.rows, QUIET_TURNS
        if turns and time.monotonic() < until:
            loop.call_soon(self._gather, loop, seen, turns - 1, until)
        else:
            self.queue.release()

    def _expire(self, request: Request, after_s: float, is_deadline: bool) -> None:
        """Tell a caller that his time is over; what was not begun of his is never computed."""
        if request.future.done():
            return
        rows = request.rows_left
        self.queue.drop(request)
        self.metrics.shed("deadline", rows)
        request.future.set_exception(
            DeadlinePassed(self.tag, timeout_s=after_s) if is_deadline else LaneHangs(self.tag, waited_s=after_s)
        )

    def _work(self) -> None:
        while (window := self.queue.take()) is not None:
            now = time.monotonic()
            try:
                self.metrics.window_begun(window.rows, [now - request.arrived for request in window.begun])
                self._answer(window.slices)
                self.recent.busy(time.monotonic() - now)
            except BaseException as error:  # a fault of ours costs its own window, as a model's does
                self._fail(window.slices, error, rows=window.rows, seconds=time.monotonic() - now)
            del window  # its rows are not held until the next one comes

    def _answer(self, slices: Sequence[Slice]) -> None:
        """Answer a window, or what is left of it in halves where the model breaks down; whatever happens, no more."""
        slices = [part for part in slices if not part.request.future.done()]
        if not slices:
            return
        values = [value for part in slices for value in part.values]
        awaited = [part.request.future for part in slices for _ in part.values]
        begun = time.monotonic()
        try:
            answered = self.worker.answer(values, lambda row: not awaited[row].done())
            if len(answered.answers) != len(values):
                raise PredictionMismatch(self.tag, given=len(values), got=len(answered.answers))
        except ServiceError as error:  # the worker's own word for callers: that it was closed, or is down
            self._deliver(slices, [], error)
            return
        except BaseException as error:  # whatever the model's own code raises: the lane goes on
            if len(slices) > 1:
                log.warning("window failed, tried in halves: %s", self.tag, exc_info=error)
                middle = len(slices) // 2
                self._answer(slices[:middle])
                self._answer(slices[middle:])
            else:
                self._fail(slices, error, rows=len(values), seconds=time.monotonic() - begun)
                tell_window(self.tag, slices, begun=begun, ended=time.monotonic(), answered=None)
            return
        with self._costing_nobody():  # before its callers hear of it: who looks or asks again at once is told rightly
            self._count(answered)
            self.forecast.learn(values, answered)
        self._deliver(slices, answered.answers, None)
        with self._costing_nobody():
            tell_window(self.tag, slices, begun=begun, ended=time.monotonic(), answered=answered)
            self.forecast.renew()

    @contextlib.contextmanager
    def _costing_nobody(self) -> Iterator[None]:
        """What goes wrong in here is a fault of ours, and leaves every caller his answer."""
        try:
            yield
        except Exception as error:
            log.error("window not counted: %s", self.tag, exc_info=error)

    def _count(self, answered: Answered) -> None:
        for rows in answered.micro_batch_rows:
            self.metrics.micro_batch(rows)
        errors = [str(answer["error"]["class"]) for answer in answered.answers if "error" in answer]
        self.metrics.window_answered(
            len(answered.answers), seconds=answered.seconds, stats=answered.stats, errors=errors
        )

    def _fail(self, slices: Sequence[Slice], error: BaseException, *, rows: int, seconds: float) -> None:
        step, cause = (error.step, error.cause) if isinstance(error, StepFailed) else ("", error)
        failure = ModelFailed(self.tag, rows=rows, cause=cause, step=step)
        log.error("request failed: %s", failure, exc_info=cause)
        self.metrics.window_failed(rows, seconds=seconds)
        self._deliver(slices, [], failure)

    def _deliver(self, slices: Sequence[Slice], answers: Sequence[Answer], failure: Exception | None) -> None:
        """Hand the answers to the event loop that awaits them, all in one call."""
        at = time.monotonic()

        def deliver() -> None:
            lag_s = time.monotonic() - at
            settle(slices, answers, failure)
            self.forecast.learn_lag(lag_s)

        try:
            slices[0].request.future.get_loop().call_soon_threadsafe(deliver)
        except RuntimeError:  # the loop was closed under us: nobody is waiting any more
            log.info("answers dropped: %s", self.tag)
