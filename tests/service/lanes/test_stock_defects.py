"""What BentoML's own dispatcher does wrong, numbered as it was found by trying it, is false of a lane."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import pytest
from numpy.typing import NDArray

from models.model import Encoded, MicroBatch
from service.errors import DeadlinePassed, DeadlineUnmeetable, ModelFailed
from service.lanes.lane import Lane
from service.lanes.load import LaneLoad
from tests.service.lanes.queues import make_queue, put, take_all
from tests.service.lanes.running import alone, hold, run, running_lane, until
from tests.service.models import DroppingModel, HeldModel, LetterModel, PoisonModel, RaisingEncoder

TENANT: ContextVar[str] = ContextVar("TENANT", default="nobody's")


class ContextModel(LetterModel):
    """A model that looks at the context of whoever calls it."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        self.seen = TENANT.get()
        return super().forward(micro_batch)


class ListEncoder(LetterModel):
    """A model whose encode returns a list wherever a row says list, which is no Encoded."""

    def encode(self, values: Any) -> Encoded:
        return [] if "list" in list(values) else super().encode(values)  # type: ignore[return-value]


class UnplannedModel(LetterModel):
    """A model that breaks down in a way of which no row can be told, over everything it is shown from now on."""

    is_broken = False

    def encode(self, values: Any) -> Encoded:
        if self.is_broken:
            return None  # type: ignore[return-value]
        return super().encode(values)


def test_1_under_overload_the_oldest_are_dropped_and_goodput_collapses() -> None:
    """A burst of ten times what can be answered in time: those who came first are answered, all of them, in time."""
    queue = make_queue(row_s=0.01, slo_s=0.5)
    results = [put(queue) for _ in range(400)]
    inside = [request for request, refusal in results if refusal is None]
    assert [request for request, _ in results[: len(inside)]] == inside
    assert all(refusal is not None and refusal.reason == "predicted_wait" for _, refusal in results[len(inside) :])
    windows = take_all(queue)
    assert [part.request for window in windows for part in window.slices] == inside
    seconds = sum(window.seconds for window in windows)
    assert 0.5 * 0.5 < seconds < 0.9 * 0.5


def test_2_a_lone_caller_is_slow_for_long_after_a_burst() -> None:
    """No wait is imposed: the queue hands over what it has as soon as the event loop is quiet, whatever was before."""
    queue = make_queue(row_s=0.001, slo_s=0.5)
    for _ in range(200):
        put(queue)
    take_all(queue)
    queue.rest()
    lone, _ = put(queue)
    queue.release()
    window = queue.take()
    assert window is not None
    assert [part.request for part in window.slices] == [lone]


@pytest.mark.parametrize("model", [PoisonModel, RaisingEncoder])
def test_3_one_poisoned_row_fails_its_whole_batch(model: type[LetterModel]) -> None:
    async def check() -> None:
        texts = [f"row {i}" if i != 7 else "poison" for i in range(32)]
        async with running_lane(model()) as lane:
            results = await asyncio.gather(*(lane.submit([text]) for text in texts), return_exceptions=True)
        (failed,) = results.pop(7)  # type: ignore[misc]
        assert list(failed) == ["error"]
        assert results == [alone([text]) for text in texts if text != "poison"]

    run(check)


def test_4_a_caller_is_given_somebody_elses_answer() -> None:
    async def check() -> None:
        texts = [f"{'zebra' if i % 2 else 'ape'} {i}" if i != 3 else "drop" for i in range(20)]
        async with running_lane(DroppingModel()) as lane:
            results = await asyncio.gather(*(lane.submit([text]) for text in texts), return_exceptions=True)
        assert isinstance(results.pop(3), ModelFailed)
        assert results == [alone([text]) for text in texts if text != "drop"]

    run(check)


def test_5_a_model_sees_the_context_of_the_request_that_came_first() -> None:
    async def check() -> None:
        model = ContextModel()
        async with running_lane(model) as lane:
            for tenant in ("Alice's", "Bob's"):
                TENANT.set(tenant)
                await lane.submit([tenant])
                assert model.seen == "nobody's"

    run(check)


def test_6_a_model_that_breaks_its_contract_hangs_the_dispatcher_for_good() -> None:
    async def check() -> None:
        async with running_lane(ListEncoder()) as lane:
            with pytest.raises(ModelFailed, match="letters:1 failed in encode over 1 rows") as failed:
                await lane.submit(["list"])
            assert "encode answers with an Encoded; found: an object of type list" in str(failed.value)
            assert await lane.submit(["afterwards"]) == alone(["afterwards"])

    run(check)


def test_7_batches_are_cut_by_rows_and_padded_to_the_longest() -> None:
    async def check() -> LaneLoad:
        model, dice = HeldModel(), random.Random(0)
        lengths = [min(max(int(dice.lognormvariate(3, 1)), 1), 128) for _ in range(200)]
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            callers = [asyncio.create_task(lane.submit([f"{i:03d}" + "x" * lengths[i]])) for i in range(200)]
            await until(lambda: lane.queued_rows == 200)
            model.go.set()
            await asyncio.gather(holder, *callers)
            return lane.load()

    loads: list[LaneLoad] = []

    async def keep() -> None:
        loads.append(await check())

    run(keep)
    assert loads[0].padded_share is not None
    assert loads[0].padded_share < 0.1


def test_8_callers_who_have_gone_or_whose_time_is_over_are_computed_all_the_same() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            gone = [asyncio.create_task(lane.submit([f"gone {i}"])) for i in range(10)]
            late = [asyncio.create_task(lane.submit([f"late {i}"], timeout_s=5.0)) for i in range(10)]
            await until(lambda: lane.queued_rows == 20)
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            for request in [*lane.queue._promised]:  # their time is over now
                request.deadline = 0.0
            model.go.set()
            await holder
            await until(lambda: lane.queued_rows == 0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        assert model.computed == ["holder"]

    run(check)


def test_8_a_caller_is_told_when_his_time_is_over() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            task = asyncio.create_task(lane.submit(["late"], timeout_s=10.0))
            await until(lambda: lane.queued_rows == 1)
            lane._expire(lane.queue._promised[0], 10.0, True)
            with pytest.raises(DeadlinePassed, match=r"has not answered within the 10 s") as passed:
                await task
            assert passed.value.status == 504
            assert lane.queued_rows == 0
            assert lane.load().shed["deadline"] == 1
            model.go.set()
            await holder
        assert model.computed == ["holder"]

    run(check)


def test_9_metrics_count_requests_where_they_say_rows_and_nothing_of_what_is_refused() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model, max_queue_rows=36) as lane:
            holder = await hold(lane, model)
            callers = [asyncio.create_task(lane.submit([f"{i} {k}" for k in range(3)])) for i in range(12)]
            await until(lambda: lane.queued_rows == 36)
            (refused,) = await asyncio.gather(lane.submit(["too many"]), return_exceptions=True)
            waiting = lane.load()
            model.go.set()
            await asyncio.gather(holder, *callers)
            await until(lambda: lane.queue.running_rows == 0)
            done = lane.load()
        assert isinstance(refused, Exception)
        assert (waiting.queue_rows, waiting.queue_limit_rows, waiting.running_rows) == (36, 36, 1)
        assert waiting.shed["queue_full"] == 1
        assert (done.requests, done.rows, done.error_rows, done.queue_rows) == (13, 37, 0, 0)
        assert done.micro_batch_rows_mean is not None
        assert round(done.micro_batch_rows_mean * done.micro_batches) == 37
        assert done.latency_s is not None

    run(check)


def test_10_more_workers_split_the_callers_into_smaller_batches() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            callers = [asyncio.create_task(lane.submit([f"row {i:02d}"])) for i in range(64)]
            await until(lambda: lane.queued_rows == 64)
            model.go.set()
            await asyncio.gather(holder, *callers)
            await until(lambda: lane.queue.running_rows == 0)
            assert lane.metrics.numbers.value("tandem_lane_window_rows") == 2

    run(check)


def test_11_there_are_no_priorities() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            background = asyncio.create_task(lane.submit(["background"], priority="background"))
            await until(lambda: lane.queued_rows == 1)
            interactive = asyncio.create_task(lane.submit(["interactive"]))
            await until(lambda: lane.queued_rows == 2)
            model.go.set()
            await asyncio.gather(holder, background, interactive)
        assert model.computed == ["holder", "interactive", "background"]

    run(check)


def test_11_there_are_no_deadlines() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5)
    for _ in range(20):
        put(queue)
    hurried, refusal = put(queue, timeout_s=0.05)
    assert refusal is None
    _, refusal = put(queue, rows=10, timeout_s=0.05)
    queue.release()
    window = queue.take()
    assert window is not None
    assert window.slices[0].request is hurried
    assert refusal is not None
    assert refusal.reason == "deadline"
    error = DeadlineUnmeetable("letters:1", wait_s=refusal.wait_s, timeout_s=refusal.limit_s)
    assert error.status == 503
    assert int(error.headers["Retry-After"]) >= 1


def test_11_there_is_no_fairness_between_large_and_small_requests() -> None:
    """A large request takes what promises leave: small ones pass it, and it gets on all the same."""
    queue = make_queue(row_s=0.01, slo_s=0.5)
    large, refusal = put(queue, rows=200)
    assert refusal is None
    small = [put(queue) for _ in range(5)]
    assert all(refusal is None for _, refusal in small)
    queue.release()
    first = queue.take()
    assert first is not None
    assert {request for request, _ in small} < {part.request for part in first.slices}
    assert sum(part.stop - part.start for part in first.slices if part.request is large) <= 5
    assert large.rows_left < 200


def test_12_errors_are_learnt_as_if_they_were_measurements() -> None:
    async def foreseen(lane: Lane) -> list[float]:
        await until(lambda: lane.queue.running_rows == 0)
        return lane.forecast.foresee(["a row of words"])

    async def check() -> None:
        model = UnplannedModel()
        async with running_lane(model) as lane:
            await lane.submit(["a row of words"])
            before = await foreseen(lane)
            model.is_broken = True
            results = await asyncio.gather(*(lane.submit([f"row {i}"]) for i in range(8)), return_exceptions=True)
            assert [type(result) for result in results] == [ModelFailed] * 8
            assert await foreseen(lane) == before

    run(check)
