"""Lane: one model, one bounded queue, one thread; concurrent requests share its windows."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from typing import Any

from models.errors import PredictionMismatch
from models.spec import ModelSpec
from service.errors import LaneClosed, ModelFailed, QueueFull, TooManyRows
from service.lanes.contract import Priority
from service.lanes.queue import LaneQueue, Request, Window
from service.lanes.worker import Answered, Worker
from service.observe.lane_metrics import LaneMetrics
from service.observe.lane_spans import tell_window
from service.schemas import Answer, ModelCard

log = logging.getLogger("bentoml.tandem")

#: How many turns of the event loop without an arrival end the gathering of requests that are just being read.
QUIET_TURNS = 4


class Lane:
    """Answers rows of one model, those of concurrent requests together.

    The thread never waits while there is something to do, and nobody waits for company: an idle lane takes a
    request as soon as the event loop has read what had arrived with it; while the lane is busy, arrivals gather,
    and the next window takes them up to `max_window_rows` and `max_window_s` of predicted time. A large request is
    spread over several windows and lets small ones pass. Rows keep their order within a request.

    A row at fault costs only its own answer. Where the model itself breaks down, the callers of that one window are
    told (ModelFailed), and nobody gets another row's answer. A caller who has gone is dropped uncomputed.

    Args:
        worker: answers windows, in this lane's thread.
        max_queue_rows: rows that may wait; more are refused with QueueFull.
        max_wait_s: predicted seconds that a request may have to wait for its turn; beyond that it is refused too.
        max_window_rows: rows that one window takes at most.
        max_window_s: what a window may take by the measured rate; a single row may take longer.
        max_gather_s: how long an idle lane lets the event loop read requests that keep arriving.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        max_queue_rows: int,
        max_wait_s: float,
        max_window_rows: int = 256,
        max_window_s: float = 0.25,
        max_gather_s: float = 0.01,
    ) -> None:
        self.worker = worker
        self.max_queue_rows, self.max_wait_s, self.max_gather_s = max_queue_rows, max_wait_s, max_gather_s
        self._queue = LaneQueue(kind=worker.spec.inputs[0].kind, max_rows=max_window_rows, max_seconds=max_window_s)
        self._metrics = LaneMetrics(worker.tag)
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
    def metrics(self) -> LaneMetrics:
        return self._metrics

    def card(self) -> ModelCard:
        return self.worker.card()

    @property
    def alive(self) -> bool:
        """Whether the lane can answer."""
        return self._thread.is_alive() and not self._queue.closed

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a window."""
        return self._queue.rows

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until everything that is here now is answered."""
        return self._queue.predicted_wait_s()

    @property
    def gathering(self) -> bool:
        """Whether requests are being gathered: the next window has not been released yet."""
        return self._queue.arriving > 0

    async def submit(
        self, values: list[Any], *, priority: Priority = "interactive", timeout_s: float | None = None
    ) -> list[Answer]:
        """Answer the values of the input column: one entry for each, in their order.

        Raises:
            TooManyRows: more values than the queue ever holds.
            QueueFull: the queue is full now, or the wait would be too long.
            ModelFailed: the model broke down over a window that held rows of this request.
            LaneClosed: the lane is being stopped.
        """
        if not values:
            return []
        self._admit(len(values))
        loop = asyncio.get_running_loop()
        request = Request(values, loop.create_future(), size=self._queue.size_of(values))
        if not self.gathering:
            loop.call_soon(self._gather, loop, 1, QUIET_TURNS, time.monotonic() + self.max_gather_s)
        self._queue.put(request)
        try:
            answers = await request.future
        except ModelFailed:
            self.metrics.failed()
            raise
        finally:
            if not request.answered:
                self._abandon(request)
        self.metrics.answered(time.monotonic() - request.arrived)
        return answers

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Take no more rows, answer those that wait, and end the thread."""
        self._queue.release()
        self._queue.close()
        self._thread.join(timeout_s)
        self.worker.close()

    def _admit(self, rows: int) -> None:
        """Refuse rows that the queue does not hold."""
        if not self.alive:
            self.metrics.shed("closed", rows)
            raise LaneClosed(self.worker.tag)
        if rows > self.max_queue_rows:
            self.metrics.shed("too_many_rows", rows)
            raise TooManyRows(rows=rows, limit=self.max_queue_rows)
        queued, wait_s = self.queued_rows, self._queue.predicted_wait_s()
        if queued + rows > self.max_queue_rows or (queued and wait_s > self.max_wait_s):
            self.metrics.shed("queue_full" if queued + rows > self.max_queue_rows else "predicted_wait", rows)
            raise QueueFull(
                self.worker.tag,
                queued=queued,
                rows=rows,
                limit=self.max_queue_rows,
                retry_after_s=max(1, math.ceil(wait_s)),
            )

    def _gather(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int, until: float) -> None:
        """Hand the gathered requests over once the event loop brings no more, or at `until`.

        Requests that were sent together are read one after another by this one event loop. Starting the thread at the
        first of them would not answer it sooner (both want the same interpreter lock), only without its company.
        """
        if self._queue.arriving > seen:
            seen, turns = self._queue.arriving, QUIET_TURNS
        if turns and time.monotonic() < until:
            loop.call_soon(self._gather, loop, seen, turns - 1, until)
        else:
            self._queue.release()

    def _abandon(self, request: Request) -> None:
        """Forget the rows of a request that is not awaited any more, as far as they have not been taken."""
        dropped = self._queue.drop(request)
        if request.future.cancelled():
            self.metrics.left(dropped)

    def _work(self) -> None:
        while (window := self._queue.take()) is not None:
            now = time.monotonic()
            self.metrics.window_begun(len(window.values), [now - request.arrived for request in window.begun])
            failure: Exception | None = None
            answers: list[Answer] = []
            answered: Answered | None = None
            computed = 0
            try:
                answered = self._answer(window.values)
                answers, computed = answered.answers, answered.stats.rows
            except BaseException as error:  # whatever the model's own code raises: the lane goes on
                failure = ModelFailed(self.worker.tag, rows=len(window.values), cause=error)
            if failure is not None:
                log.error(
                    "window failed", exc_info=failure, extra={"model": self.worker.tag, "rows": len(window.values)}
                )
                self.metrics.window_failed(len(window.values), seconds=time.monotonic() - now)
            self._queue.done(window, seconds=time.monotonic() - now, computed=computed)
            self._deliver(window, answers, failure)
            tell_window(self.tag, window.slices, begun=now, ended=time.monotonic(), answered=answered)

    def _answer(self, values: list[Any]) -> Answered:
        """One window through the model.

        Raises:
            PredictionMismatch: a step of the model returned another number of rows than it was given.
            ModelError: the model cannot answer, whatever the row.
        """
        answered = self.worker.answer(values)
        if len(answered.answers) != len(values):
            raise PredictionMismatch(self.tag, given=len(values), got=len(answered.answers))
        for rows in answered.micro_batch_rows:
            self.metrics.micro_batch(rows)
        errors = [str(answer["error"]["class"]) for answer in answered.answers if "error" in answer]
        self.metrics.window_answered(len(values), seconds=answered.seconds, stats=answered.stats, errors=errors)
        return answered

    def _deliver(self, window: Window, answers: list[Answer], failure: Exception | None) -> None:
        """Hand the answers to the event loop that awaits them, all in one call."""
        loop = window.slices[0].request.future.get_loop()
        try:
            loop.call_soon_threadsafe(window.settle, answers, failure)
        except RuntimeError:  # the loop was closed under us: nobody is waiting any more
            log.info("answers dropped", extra={"model": self.worker.tag, "rows": len(window.values)})
