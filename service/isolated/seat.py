"""Seat: what one model's process does: it holds a model and answers its windows, one after the other."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from models.artifact import verify_digest
from models.errors import DigestMismatch, ModelError
from models.load import describe_model
from service.isolated.messages import (
    Ask,
    Hello,
    Known,
    Leave,
    Left,
    Load,
    Loaded,
    NotHere,
    Question,
    Raised,
    Reply,
    Said,
)
from service.lanes.repository import open_local_worker
from service.lanes.worker import StepFailed, Worker

#: How often what was learnt of the costs is told.
TELL_S = 1.0


class Seat:
    """Holds no model until it is told one. All that touches the model runs in one thread; `hello` does not wait."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seat")
        self._worker: Worker | None = None
        self._at_work = 0
        self._told = 0.0

    def hello(self) -> Hello:
        return Hello(pid=os.getpid(), busy=self._at_work > 0)

    async def answer(self, question: Question) -> Said:
        """Do what is asked; whatever the model's own code raises is said, and the process goes on."""
        self._at_work += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)
        finally:
            self._at_work -= 1

    def _answer(self, question: Question) -> Said:
        try:
            match question:
                case Load():
                    return self._load(question)
                case Ask(tag=tag, values=values):
                    if self._worker is None or self._worker.tag != tag:
                        return NotHere()
                    return Reply(answered=self._worker.answer(values), known=self._news())
                case Leave():
                    return self._leave()
        except BaseException as error:
            step, cause = (error.step, error.cause) if isinstance(error, StepFailed) else ("", error)
            return Raised(
                kind=type(cause).__name__, message=str(cause), is_model_error=isinstance(cause, ModelError), step=step
            )

    def _load(self, load: Load) -> Loaded:
        self._leave()
        described = load.described
        if described.folder is None:
            described = describe_model(described.name)
        elif (found := verify_digest(described.folder)) != described.digest:
            raise DigestMismatch(described.tag, file="digest.json", expected=described.digest, found=found)
        self._worker = worker = open_local_worker(described, load.settings)
        return Loaded(
            pid=os.getpid(),
            variant=worker.variant,
            max_rows=worker.max_rows,
            samples=worker.samples,
            known=self._know(worker),
        )

    def _leave(self) -> Left:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
        return Left()

    def _news(self) -> Known | None:
        assert self._worker is not None
        return self._know(self._worker) if time.monotonic() - self._told > TELL_S else None

    def _know(self, worker: Worker) -> Known:
        self._told = time.monotonic()
        return Known(costs=worker.costs.to_json(), card=worker.card())
