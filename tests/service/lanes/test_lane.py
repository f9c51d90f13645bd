"""A lane in process: what concurrent callers get, and what it costs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import PredictionMismatch
from models.model import Model
from service.errors import LaneClosed, LaneHangs, ModelFailed
from service.lanes.lane import QUIET_TURNS, Lane
from service.lanes.worker import Answered, LocalWorker
from tests.service.lanes.running import alone, hold, run, running_lane, until
from tests.service.models import (
    BrokenModel,
    DroppingModel,
    HeldModel,
    LetterModel,
    PoisonModel,
    RaisingEncoder,
)


def test_every_row_is_answered_in_its_order_as_if_it_were_alone() -> None:
    async def check() -> None:
        texts = [f"{'zebra' if i % 3 else 'ape'} {i}" * (1 + i % 7) for i in range(100)]
        async with running_lane(LetterModel(), max_window_rows=16) as lane:
            together = await lane.submit(texts)
            singles = await asyncio.gather(*(lane.submit([text]) for text in texts))
        assert together == alone(texts)
        assert [answer for (answer,) in singles] == alone(texts)

    run(check)


def test_requests_that_arrive_while_the_lane_is_busy_share_the_next_window() -> None:
    async def check() -> None:
        model = HeldModel()
        sizes: list[int] = []
        async with running_lane(model) as lane:
            forward = model.forward
            model.forward = lambda batch: (sizes.append(batch.rows), forward(batch))[1]  # type: ignore[method-assign]
            holder = await hold(lane, model)
            callers = [asyncio.create_task(lane.submit([f"row {i}"])) for i in range(40)]
            await until(lambda: lane.queued_rows == 40)
            model.go.set()
            await asyncio.gather(holder, *callers)
        assert sizes == [1, 40]

    run(check)


def test_requests_that_are_sent_together_share_a_window_though_the_lane_is_idle() -> None:
    async def check() -> None:
        model = LetterModel()
        sizes: list[int] = []
        forward = model.forward
        model.forward = lambda batch: (sizes.append(batch.rows), forward(batch))[1]  # type: ignore[method-assign]
        async with running_lane(model) as lane:
            await asyncio.gather(*(lane.submit([f"row {i}"]) for i in range(32)))
        assert sizes == [32]

    run(check)


def test_a_lone_caller_waits_for_nobody_even_right_after_a_burst() -> None:
    """Counted in turns of the event loop until the row is taken: no measured wait is ever imposed on a later caller."""

    async def turns_until_taken(lane: Lane, model: HeldModel) -> int:
        await until(lambda: lane.queue.running_rows == 0)
        model.busy.clear()
        model.go.clear()
        task = asyncio.create_task(lane.submit([f"lone {time.monotonic()}"]))
        await asyncio.sleep(0)
        turns = 0
        while lane.queue.gathering:
            turns += 1
            await asyncio.sleep(0)
        await asyncio.to_thread(model.busy.wait, 10)
        model.go.set()
        await task
        return turns

    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            before = await turns_until_taken(lane, model)
            await asyncio.gather(*(lane.submit([f"burst {i}"]) for i in range(400)))
            after = await turns_until_taken(lane, model)
        assert before == after == QUIET_TURNS + 1

    run(check)


def test_equal_rows_are_computed_once_and_answered_each() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            callers = [asyncio.create_task(lane.submit(["the same"])) for _ in range(20)]
            await until(lambda: lane.queued_rows == 20)
            model.go.set()
            answers = await asyncio.gather(holder, *callers)
        assert model.computed == ["holder", "the same"]
        assert answers[1:] == [alone(["the same"])] * 20

    run(check)


def test_a_poison_row_fails_only_itself() -> None:
    async def check() -> None:
        texts = [f"row {i}" if i != 7 else "poison" for i in range(20)]
        async with running_lane(PoisonModel()) as lane:
            answers = [answer for (answer,) in await asyncio.gather(*(lane.submit([text]) for text in texts))]
        assert answers[7] == {
            "error": {"class": "FloatingPointError", "message": "overflow over a poison row", "attempts": 1}
        }
        assert answers[:7] + answers[8:] == alone(texts[:7] + texts[8:])

    run(check)


def test_a_bad_value_is_an_error_row_among_answers() -> None:
    async def check() -> None:
        async with running_lane(LetterModel()) as lane:
            answers = await lane.submit(["good", None, 7, "also good"])
        assert [answer.get("error", {}).get("class") for answer in answers] == [None, "NullValue", "WrongType", None]

    run(check)


def test_a_row_that_raises_while_it_is_encoded_costs_its_own_answer_only() -> None:
    """Also where it comes alone, and where every row of a window does."""

    async def check() -> None:
        async with running_lane(RaisingEncoder()) as lane:
            for texts in (["good", None, "poison", "also good"], ["poison"], ["poison"] * 40):
                answers = await lane.submit(list(texts))
                kinds = {"poison": "KeyError", None: "NullValue"}
                assert [answer.get("error", {}).get("class") for answer in answers] == [kinds.get(t) for t in texts]
            assert await lane.submit(["afterwards"]) == alone(["afterwards"])

    run(check)


def test_a_model_that_drops_a_row_gives_errors_and_never_shifted_answers() -> None:
    async def check() -> None:
        texts = [f"row {i}" if i != 3 else "drop" for i in range(10)]
        async with running_lane(DroppingModel()) as lane:
            results = await asyncio.gather(*(lane.submit([text]) for text in texts), return_exceptions=True)
            failed = results.pop(3)
            assert isinstance(failed, ModelFailed)
            assert isinstance(failed.cause, PredictionMismatch)
            assert "was given 1 rows and returned 0 answers" in str(failed)
            assert results == [alone([text]) for text in texts if text != "drop"]
            assert await lane.submit(["afterwards"]) == alone(["afterwards"])

    run(check)


def test_a_window_that_breaks_down_is_tried_in_halves_until_its_request_stands_alone() -> None:
    async def check() -> None:
        async with running_lane(BrokenModel()) as lane:
            results = await asyncio.gather(
                *(lane.submit([text]) for text in ("a", "b", "break", "c")), return_exceptions=True
            )
            (failed,) = results.pop(2)  # type: ignore[misc]
            assert failed["error"]["class"] == "ZeroDivisionError"
            assert results == [alone([text]) for text in ("a", "b", "c")]
            assert await lane.submit(["afterwards"]) == alone(["afterwards"])

    run(check)


def test_callers_who_have_gone_are_never_computed() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model) as lane:
            holder = await hold(lane, model)
            leaving = [asyncio.create_task(lane.submit([f"gone {i}"])) for i in range(10)]
            staying = asyncio.create_task(lane.submit(["still here"]))
            await until(lambda: lane.queued_rows == 11)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
            assert lane.queued_rows == 1
            model.go.set()
            await asyncio.gather(holder, staying)
        assert model.computed == ["holder", "still here"]

    run(check)


def test_a_caller_who_goes_in_the_middle_of_many_rows_is_not_computed_further() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model, max_window_rows=4) as lane:
            task = asyncio.create_task(lane.submit([f"row {i}" for i in range(40)]))
            await asyncio.to_thread(model.busy.wait, 10)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            model.go.set()
            assert await lane.submit(["afterwards"]) == alone(["afterwards"])
        assert model.computed == ["row 0", "row 1", "row 2", "row 3", "afterwards"]

    run(check)


def test_many_rows_of_one_caller_let_a_single_row_pass() -> None:
    async def check() -> None:
        model = HeldModel()
        async with running_lane(model, max_window_rows=8) as lane:
            holder = await hold(lane, model)
            many = asyncio.create_task(lane.submit([f"many {i:03d}" for i in range(200)]))
            await until(lambda: lane.queued_rows == 200)
            one = asyncio.create_task(lane.submit(["one"]))
            await until(lambda: lane.queued_rows == 201)
            model.go.set()
            answers = await asyncio.gather(holder, many, one)
        assert model.computed.index("one") <= 8
        assert answers[1] == alone([f"many {i:03d}" for i in range(200)])

    run(check)


def test_a_closed_lane_answers_those_inside_and_refuses_the_next() -> None:
    async def check() -> None:
        lane = Lane(LocalWorker(LetterModel()), slo_s=60.0, max_queue_rows=8, max_wait_s=30.0)
        inside = asyncio.create_task(lane.submit(["inside"]))
        await asyncio.sleep(0)
        await asyncio.to_thread(lane.close)
        assert await inside == alone(["inside"])
        assert not lane.alive
        with pytest.raises(LaneClosed, match="being stopped"):
            await lane.submit(["late"])

    run(check)


class ClosingWorker(LocalWorker):
    """A worker that is closed while it is asked."""

    def answer(self, values: list[Any], is_wanted: Callable[[int], bool] = bool) -> Answered:
        raise LaneClosed(self.tag)


def test_a_worker_that_was_closed_is_no_model_that_failed() -> None:
    async def check() -> None:
        lane = Lane(ClosingWorker(LetterModel()), slo_s=60.0, max_queue_rows=8, max_wait_s=30.0)
        with pytest.raises(LaneClosed):
            await lane.submit(["abc"])
        lane.close()

    run(check)


def test_what_goes_wrong_behind_an_answer_costs_nobody_his_answer() -> None:
    async def check() -> None:
        async with running_lane(LetterModel()) as lane:
            lane.forecast.learn = lambda *_: 1 / 0  # type: ignore[method-assign]
            for _ in range(2):
                assert "label" in (await lane.submit(["abc"]))[0]

    run(check)


class StuckWorker(LocalWorker):
    """A worker that does not return before it is let."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.let = threading.Event()

    def answer(self, values: list[Any], is_wanted: Callable[[int], bool] = bool) -> Answered:
        self.let.wait(30)
        return super().answer(values)


def test_who_named_no_deadline_is_told_that_the_model_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.lanes.lane.HANGS_S", 0.05)
    monkeypatch.setattr("service.lanes.lane.HANGS_TIMES", 0.0)

    async def check() -> None:
        worker = StuckWorker(LetterModel())
        lane = Lane(worker, slo_s=60.0, max_queue_rows=8, max_wait_s=30.0)
        with pytest.raises(LaneHangs):
            await lane.submit(["abc"])
        worker.let.set()
        monkeypatch.undo()
        assert len(await lane.submit(["abc"])) == 1
        lane.close()

    run(check)
