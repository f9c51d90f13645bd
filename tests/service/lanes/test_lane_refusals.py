"""Whom a lane does not let in, and what he is told."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import DeadlineUnmeetable, QueueFull, TooManyRows, WaitTooLong
from service.lanes.forecast import LEAST_TRUST
from tests.service.lanes.running import alone, hold, run, running_lane, until
from tests.service.models import HeldModel, LetterModel, SlowModel


def test_a_full_queue_refuses_with_the_seconds_to_wait_and_serves_those_inside() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model, max_queue_rows=8) as lane:
            holder = await hold(lane, model)
            inside = [asyncio.create_task(lane.submit([f"row {i}"])) for i in range(8)]
            await until(lambda: lane.queued_rows == 8)
            with pytest.raises(QueueFull, match="held:1 is busy: 8 rows wait, 1 more are too many") as refused:
                await lane.submit(["too many"])
            assert int(refused.value.headers["Retry-After"]) >= 1
            assert refused.value.status == 503
            model.go.set()
            assert len(await asyncio.gather(holder, *inside)) == 9

    run(check)


def test_a_request_larger_than_the_queue_is_told_the_limit() -> None:
    async def check() -> None:
        async with running_lane(LetterModel(), max_queue_rows=8) as lane:
            with pytest.raises(TooManyRows, match="found 9 rows, at most 8"):
                await lane.submit(["row"] * 9)

    run(check)


def test_the_seconds_to_wait_grow_with_what_waits() -> None:
    async def check() -> None:
        async with running_lane(SlowModel(), max_queue_rows=600, max_window_rows=32) as lane:
            await lane.submit([f"measure {i}" for i in range(32)])
            waiting = [asyncio.create_task(lane.submit([f"{k} {i}" for i in range(100)])) for k in range(5)]
            await until(lambda: lane.queued_rows > 400)
            with pytest.raises(QueueFull) as refused:
                await lane.submit([f"late {i}" for i in range(200)])
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert 2 <= refused.value.retry_after_s <= 10  # about 480 rows at 133 a second

    run(check)


def test_who_would_be_late_is_refused_though_the_queue_has_room() -> None:
    async def check() -> None:
        async with running_lane(SlowModel(), slo_s=1.0, max_window_rows=32) as lane:
            await lane.submit([f"measure {i}" for i in range(32)])
            results = await asyncio.gather(*(lane.submit([f"row {i}"]) for i in range(400)), return_exceptions=True)
            refused = [result for result in results if isinstance(result, BaseException)]
            assert {type(error) for error in refused} == {WaitTooLong}
            assert 40 <= 400 - len(refused) <= 140  # 133 rows take a second
            assert await lane.submit(["there is room again"]) == alone(["there is room again"])

    run(check)


def test_doubts_take_off_no_more_than_half_of_what_was_measured_and_none_for_what_nobody_could_meet() -> None:
    async def check() -> None:
        model = LetterModel()
        async with running_lane(model) as lane:
            await lane.submit(["so that it is known what a row takes"] * 8)
            measured = lane.forecast.good_s
            for _ in range(400):
                with pytest.raises(DeadlineUnmeetable):
                    await lane.submit(["nobody can be as fast as that"], timeout_s=1e-9)
            assert lane.forecast.good_s == measured
            lane.forecast._doubted = -1.0
            for _ in range(100):
                lane.forecast.doubt()
                lane.forecast._doubted -= 1
            assert lane.forecast.good_s == pytest.approx(measured * LEAST_TRUST)

    run(check)
