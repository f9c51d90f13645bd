"""A model's process ends, hangs, or does not come back: which rows are blamed, and when the lane is not ready."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from models.load import Described
from models.model import RowFault
from models.window import WindowStats
from service.errors import LaneClosed, ModelDown
from service.isolated import remote_worker
from service.isolated.convicted import KEEP_S, Convicted
from service.isolated.errors import NoSlot, SlotEnded, SlotHung
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
from service.isolated.pool import Pool
from service.isolated.remote_worker import RECENT, TIMES_LONGEST, RemoteWorker
from service.isolated.seat import Seat
from service.isolated.slot import Slot
from service.lanes.worker import Answered, StepFailed
from service.schemas import card_of
from service.settings import read_settings
from tests.service.models import LetterModel
from tests.service.processes import wait_until

SEGFAULT = SlotEnded(7, how="ended by SIGSEGV")
HUNG = SlotHung(7, patience_s=45)
#: What a process does with the next windows; nothing: it answers.
Script = deque[Exception | NotHere | None]


class ScriptedSlot:
    """A process that does over its windows what the script says."""

    pid = 7
    name = "scripted"

    def __init__(self, script: Script) -> None:
        self.script, self.asked, self.comes_back = script, [], True  # type: ignore[var-annotated]
        self.patience_s, self.hang_s = 0.0, 0.0

    def hello(self) -> Hello | None:
        return Hello(pid=7, busy=False) if self.comes_back else None

    def hang_up(self) -> None: ...

    def end(self) -> None: ...

    def ask(self, question: Question, *, patience_s: float) -> Said:
        match question:
            case Load():
                known = Known(costs={"prior": [1e-3, 1e-4, 0.0, 0.0]}, card=card_of(LetterModel()))
                return Loaded(pid=7, variant="python-fp32", max_rows=8, known=known)
            case Leave():
                return Left()
            case Ask(values=values):
                self.asked.append(values)
                self.patience_s = patience_s
                if self.script and (error := self.script.popleft()) is not None:
                    if isinstance(error, NotHere):
                        return error
                    if isinstance(error, SlotEnded):
                        time.sleep(self.hang_s)
                        raise error
                    return Raised(kind=type(error).__name__, message=str(error), is_model_error=False)
                answered = Answered(
                    answers=[{"label": value} for value in values], lengths=[1] * len(values), micro_batch_rows=[1],
                    stats=WindowStats(rows=len(values)), encode_s=0.1, compute_s=0.1, seconds=0.2,
                )  # fmt: skip
                return Reply(answered=answered, known=None)


MakeWorker = Callable[..., tuple[RemoteWorker, ScriptedSlot]]


def worker_on(*script: Exception | NotHere | None) -> tuple[RemoteWorker, ScriptedSlot]:
    slot = ScriptedSlot(deque(script))
    model = LetterModel()
    described = Described(name="letters", spec=model.spec, tag=model.tag, digest=model.digest, folder=None)
    settings = read_settings({"TANDEM_MODELS": "letters"})
    return RemoteWorker(described, settings, Pool([cast(Slot, slot)])), slot


def classes(answered: Answered) -> list[Any]:
    return [answer.get("error", {}).get("class") for answer in answered.answers]


def test_a_process_that_is_killed_once_costs_no_row() -> None:
    worker, slot = worker_on(SEGFAULT)
    assert [answer["label"] for answer in worker.answer(["a", "b", "c"]).answers] == ["a", "b", "c"]
    assert slot.asked == [["a", "b", "c"], ["a"], ["b"], ["c"]]


def test_a_row_is_at_fault_once_a_process_ended_over_it_alone_twice() -> None:
    worker, _ = worker_on(SEGFAULT, None, SEGFAULT, SEGFAULT)
    answered = worker.answer(["a", "b", "c"])
    assert classes(answered) == [None, "WorkerDied", None]
    assert "ended by SIGSEGV" in answered.answers[1]["error"]["message"]


def test_a_row_that_was_alone_when_a_process_was_killed_by_somebody_is_answered() -> None:
    worker, _ = worker_on(SEGFAULT, None, SEGFAULT)
    assert classes(worker.answer(["a", "b", "c"])) == [None, None, None]


def test_a_window_of_one_row_is_tried_twice() -> None:
    worker, slot = worker_on(SEGFAULT, SEGFAULT)
    assert classes(worker.answer(["a"])) == ["WorkerDied"]
    assert slot.asked == [["a"], ["a"]]


def test_a_row_that_hung_alone_after_its_window_did_is_at_fault() -> None:
    worker, slot = worker_on(HUNG, None, HUNG)
    assert classes(worker.answer(["a", "b", "c"])) == [None, "RowHung", None]
    assert slot.asked == [["a", "b", "c"], ["a"], ["b"], ["c"]]


def test_after_a_window_that_hung_one_end_convicts_nobody() -> None:
    worker, _ = worker_on(HUNG, SEGFAULT)
    assert classes(worker.answer(["a", "b"])) == [None, None]


def test_what_a_process_that_ended_took_is_not_expected_of_the_next_rows() -> None:
    worker, slot = worker_on(HUNG, None)
    slot.hang_s = 0.3
    answered = worker.answer(["a"])
    assert classes(answered) == [None]
    assert answered.seconds < slot.hang_s


def test_a_row_at_fault_is_not_tried_again() -> None:
    worker, slot = worker_on(SEGFAULT, SEGFAULT)
    worker.answer(["poison"])
    slot.asked.clear()
    assert classes(worker.answer(["a", "poison", "b"])) == [None, "WorkerDied", None]
    assert classes(worker.answer(["poison"])) == ["WorkerDied"]
    assert slot.asked == [["a", "b"]]


def test_a_row_that_nobody_waits_for_any_more_is_not_tried_again() -> None:
    worker, slot = worker_on(SEGFAULT)
    assert classes(worker.answer(["a", "b", "c"], lambda row: row == 2)) == ["CallerGone", "CallerGone", None]
    assert slot.asked == [["a", "b", "c"], ["c"]]


def test_a_row_whose_callers_always_leave_before_it_hangs_is_found_out_all_the_same() -> None:
    worker, slot = worker_on(HUNG, HUNG, HUNG)
    found = [classes(worker.answer(["hang"], lambda row: False)) for _ in range(4)]
    assert found == [["CallerGone"], ["RowHung"], ["RowHung"], ["RowHung"]]
    assert slot.asked == [["hang"]] * 3


def test_after_an_hour_a_row_at_fault_is_tried_again() -> None:
    now = 0.0
    convicted = Convicted(clock=lambda: now)
    answer = convicted.add("poison", RowFault(kind="WorkerDied", message="it ended", attempts=2))
    now = KEEP_S - 1
    assert convicted.find("poison") == answer
    now = KEEP_S
    assert convicted.find("poison") is None


def test_one_slow_window_makes_nobody_patient_for_ever() -> None:
    worker, slot = worker_on()
    base = worker._patience_s
    worker._took_s.append(base)
    worker.answer(["a"])
    assert slot.patience_s == TIMES_LONGEST * base
    for _ in range(RECENT):
        worker.answer(["a"])
    assert slot.patience_s == base


def test_a_process_that_was_started_anew_before_it_was_asked_is_no_rows_fault() -> None:
    worker, slot = worker_on(NotHere(), SEGFAULT, NotHere())
    assert classes(worker.answer(["a"])) == [None]
    assert slot.asked == [["a"]] * 4


def test_what_the_model_raises_has_its_name() -> None:
    worker, _ = worker_on(ZeroDivisionError("nothing to divide by"))
    with pytest.raises(Exception, match="nothing to divide by") as raised:
        worker.answer(["a"])
    assert type(raised.value).__name__ == "ZeroDivisionError"


def test_a_worker_without_a_process_cannot_answer_until_one_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_worker, "AGAIN_S", 0.01)
    monkeypatch.setattr(remote_worker, "COME_BACK_S", 0.05)
    worker, slot = worker_on(SEGFAULT)
    slot.comes_back = False
    for values in (["a", "b"], ["c"]):  # the second finds it so, and does not wait
        with pytest.raises(ModelDown, match="none has come back"):
            worker.answer(values)
        assert not worker.alive
    slot.comes_back = True
    wait_until(lambda: worker.alive, "a process has the model again")
    assert classes(worker.answer(["b"])) == [None]
    assert slot.asked == [["a", "b"], ["b"]]


def test_a_worker_that_is_closed_while_no_process_comes_back_gives_up_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_worker, "AGAIN_S", 0.01)
    monkeypatch.setattr(remote_worker, "COME_BACK_S", 0.05)
    worker, slot = worker_on(SEGFAULT)
    slot.comes_back = False
    with pytest.raises(ModelDown):
        worker.answer(["a"])
    worker.close()
    wait_until(lambda: worker._pool._taken == 0, "its place is free")


def test_a_worker_that_is_closed_while_another_process_takes_the_model_leaves_no_model_behind() -> None:
    worker, slot = worker_on(SEGFAULT)
    ask, left = slot.ask, []

    def closed_while_loading(question: Question, *, patience_s: float) -> Said:
        if isinstance(question, Load):
            worker.close()
        if isinstance(question, Leave):
            left.append(question)
        return ask(question, patience_s=patience_s)

    slot.ask = closed_while_loading  # type: ignore[method-assign]
    with pytest.raises(LaneClosed):
        worker.answer(["a"])
    assert len(left) == 1
    assert worker._pool.take("other:1", within_s=0) is cast(Slot, slot)


def test_a_worker_that_is_closed_in_the_moment_of_an_answer_gives_its_process_back() -> None:
    worker, slot = worker_on()
    ask = slot.ask

    def closed_meanwhile(question: Question, *, patience_s: float) -> Said:
        if isinstance(question, Ask):
            worker.close()
        return ask(question, patience_s=patience_s)

    slot.ask = closed_meanwhile  # type: ignore[method-assign]
    assert classes(worker.answer(["a"])) == [None]
    assert worker._pool.take("other:1", within_s=0) is cast(Slot, slot)


def test_a_worker_that_is_closed_waits_for_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_worker, "AGAIN_S", 0.01)
    worker, slot = worker_on(SEGFAULT)
    slot.comes_back = False
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            worker.answer(["a"])
        except LaneClosed as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: len(slot.asked) == 1, "the window is asked")
    worker.close()
    asking.join(10)
    assert len(raised) == 1
    slot.comes_back = True
    with pytest.raises(LaneClosed):
        worker.answer(["b"])
    assert slot.asked == [["a"]], "the process may have another model by now"


def test_a_model_without_a_free_process_is_refused_and_one_that_leaves_makes_room() -> None:
    worker, slot = worker_on()
    pool = worker._pool
    with pytest.raises(NoSlot, match="all 1 have a model"):
        pool.take("other:1", within_s=0)
    worker.close()
    assert pool.take("other:1", within_s=0) is slot


def test_what_the_models_own_code_raised_is_told_with_the_step_in_which_it_did() -> None:
    worker, _ = worker_on()
    said = Raised(kind="KeyError", message="'poison'", is_model_error=False, step="encode")
    worker.slot.ask = lambda *_, **__: said  # type: ignore[method-assign]
    with pytest.raises(StepFailed) as raised:
        worker.answer(["a"])
    assert (raised.value.step, type(raised.value.cause).__name__) == ("encode", "KeyError")


def test_a_window_that_comes_behind_the_close_is_told_so_and_does_not_wait() -> None:
    worker, _ = worker_on()
    worker.close()
    with pytest.raises(LaneClosed):
        worker.answer(["a"])


def test_a_worker_without_a_process_keeps_its_claim_and_never_asks_anothers() -> None:
    slot = ScriptedSlot(deque([SEGFAULT]))
    pool = Pool([cast(Slot, slot)])
    model = LetterModel()
    described = Described(name="letters", spec=model.spec, tag=model.tag, digest=model.digest, folder=None)
    worker = RemoteWorker(described, read_settings({"TANDEM_MODELS": "letters"}), pool)
    slot.comes_back = False
    thread = threading.Thread(target=worker.answer, args=(["a"],), daemon=True)
    thread.start()
    wait_until(lambda: worker._slot is None, "the worker has no process")
    with pytest.raises(NoSlot):  # whoever loads a model now does not get the place that is being waited for
        pool.take("other:1", within_s=0)
    slot.comes_back = True
    thread.join(20)
    assert not thread.is_alive()
    assert worker.slot is cast(Slot, slot)


def test_a_process_that_has_not_the_model_answers_nothing_for_it() -> None:
    seat = Seat()
    assert seat._answer(Ask(tag="letters:1", values=["a"])) == NotHere()
