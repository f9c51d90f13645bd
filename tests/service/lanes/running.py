"""A lane in process, for tests that hold it, wait for it and close it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from models.model import Model
from service.lanes.lane import Lane
from service.lanes.worker import LocalWorker
from service.schemas import answers_of
from tests.service.models import HeldModel, LetterModel

LIMIT_S = 30.0


@asynccontextmanager
async def running_lane(model: Model, **limits: Any) -> AsyncIterator[Lane]:
    lane = Lane(LocalWorker(model), **({"slo_s": 60.0, "max_queue_rows": 512, "max_wait_s": 30.0} | limits))
    try:
        yield lane
    finally:
        if isinstance(model, HeldModel):
            model.go.set()
        await asyncio.to_thread(lane.close)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), LIMIT_S))


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until the condition holds."""
    ends = time.monotonic() + LIMIT_S / 2
    while not condition():
        assert time.monotonic() < ends, "the condition never came true"
        await asyncio.sleep(0.002)


async def hold(lane: Lane, model: HeldModel) -> asyncio.Task[Any]:
    """Make the lane busy with a row of its own."""
    task = asyncio.create_task(lane.submit(["holder"]))
    await asyncio.to_thread(model.busy.wait, 10)
    return task


def alone(values: list[Any]) -> list[Any]:
    """What each value is answered when it is alone."""
    model = LetterModel()
    return [answers_of(model.predict_values([value]))[0] for value in values]
