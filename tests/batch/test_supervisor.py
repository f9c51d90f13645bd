"""Watching a process: silence counts only while it could have been heard, and memory before the machine is full."""

from __future__ import annotations

import mmap
import os
import time

import numpy as np
import pytest

from batch.spec import JobSpec
from batch.supervise import watch
from batch.supervise.journal import SIZE_BYTES, Journal
from batch.supervise.watch import Awake, Watch, patience_of, resident_bytes


@pytest.fixture
def journal() -> Journal:
    return Journal(mmap.mmap(-1, SIZE_BYTES))


def test_a_call_without_an_answer_is_hung_and_named(journal: Journal) -> None:
    looking = Watch(os.getpid(), journal, stall_s=10)
    with journal.call("encode", range(4)), journal.call("forward", np.array([1])):
        assert looking.look(100.0) is None
        with journal.call("decode", range(4)):
            assert looking.look(109.0) is None
        ending = looking.look(111.0)
    assert ending is not None
    assert (ending.kind, ending.reason) == ("RowHung", "gave no answer within 10 s")
    assert ending.call == 1, "the one that began first"
    assert looking.look(200.0) is None, "nothing is in hand"


def test_a_call_may_take_twenty_times_what_was_expected_of_it(journal: Journal) -> None:
    looking = Watch(os.getpid(), journal, stall_s=10)
    with journal.call("forward", np.array([1]), 3.0):
        looking.look(0.0)
        assert looking.look(59.0) is None
        assert looking.look(61.0) is not None


def test_a_probe_is_waited_for_less_long_but_never_longer(journal: Journal) -> None:
    with journal.call("forward", np.array([1])):
        looking = Watch(os.getpid(), journal, stall_s=100)
        looking.look(0.0)
        assert looking.look(11.0, stall_s=10) is not None
        looking = Watch(os.getpid(), journal, stall_s=5)
        looking.look(0.0)
        assert looking.look(6.0, stall_s=10) is not None


def test_time_in_which_the_supervisor_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    awake = Awake()
    for passed, seen in ((0.2, 0.2), (0.5, 0.7), (3600.0, 1.7), (0.2, 1.9)):
        now += passed
        assert awake.look() == pytest.approx(seen)


def test_a_process_beyond_its_bound_is_named_with_what_it_holds(journal: Journal) -> None:
    held = resident_bytes(os.getpid())
    assert held > 10e6
    assert Watch(os.getpid(), journal, bound_bytes=held).look(0.0) is None, "a little more is let pass"
    ending = Watch(os.getpid(), journal, bound_bytes=held // 2 - (32 << 20)).look(0.0)
    assert ending is not None
    assert ending.kind == "OutOfMemory"
    assert "more than its bound" in ending.reason
    journal.arm(stall_s=5, bound_bytes=1 << 20)
    assert Watch(os.getpid(), journal).look(0.0) is not None, "the journal's own bound"


def test_a_process_that_has_ended_holds_nothing() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert resident_bytes(child) == 0


def test_the_one_that_grows_while_the_machine_runs_out_is_ended(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, left = 200 << 20, 8 << 30
    monkeypatch.setattr(watch, "resident_bytes", lambda pid: held)
    monkeypatch.setattr(watch, "free_memory", lambda: (left, 16 << 30))
    looking = Watch(os.getpid(), journal)
    assert looking.look(0.0) is None
    left = 100 << 20
    assert looking.look(0.1) is None, "somebody else took it"
    held = 300 << 20
    ending = looking.look(0.2)
    assert ending is not None
    assert ending.kind == "OutOfMemory"
    assert "when the machine had 105 MB left" in ending.reason


@pytest.mark.parametrize(("settings", "seconds"), [({}, 120), ({"stall_s": 7}, 7), ({"compile": True}, 600)])
def test_kernels_that_are_compiled_are_waited_for(settings: dict[str, float], seconds: float) -> None:
    assert patience_of(JobSpec.model_validate({"model": "m", "input": "i", "output": "o", **settings})) == seconds


def test_looking_costs_next_to_nothing(journal: Journal) -> None:
    looking = Watch(os.getpid(), journal, stall_s=5)
    started = time.process_time()
    for n in range(200):
        looking.look(float(n))
    assert time.process_time() - started < 0.5
