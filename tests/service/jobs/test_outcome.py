"""What the end of its process means for a job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.jobs.outcome import MOST_TRIES, judge_end
from service.jobs.record import JobRecord

NOW = 1000.0
JOB = JobRecord(
    id="a", owner="", key=None, asked="", spec={"model": "m"}, model="m:1", status="running", submitted=1.0, begun=2.0
)


def judge(code: int | None, *, has_advanced: bool = False, said: str | None = None, **changes: Any) -> dict[str, Any]:
    return judge_end(replace(JOB, **changes), code, said=said, has_advanced=has_advanced, now=NOW)


def test_a_job_that_exits_with_0_is_done_whatever_was_asked() -> None:
    assert judge(0)["status"] == judge(0, cancel_asked=3.0)["status"] == judge(0, is_paused=True)["status"] == "done"


@pytest.mark.parametrize("code", [1, 2, 3, 4, 77])
def test_what_trying_again_does_not_mend_has_failed_with_its_own_words(code: int) -> None:
    found = judge(code, said="the column is not there")
    assert (found["status"], found["exit_code"], found["ended"]) == ("failed", code, NOW)
    assert found["message"] == "the column is not there"
    assert judge(code)["message"]


@pytest.mark.parametrize("code", [75, -9, -11, None, 2])
def test_a_job_whose_end_was_asked_for_is_cancelled(code: int | None) -> None:
    assert judge(code, cancel_asked=3.0)["status"] == "cancelled"


@pytest.mark.parametrize("code", [75, -9, None])
def test_a_job_that_was_cut_short_waits_ever_longer_and_not_for_ever(code: int | None) -> None:
    pauses, tries = [], 0
    while (found := judge(code, tries=tries))["status"] == "queued":
        tries = found["tries"]
        pauses.append(found["not_before"] - NOW)
    assert len(pauses) == MOST_TRIES - 1
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert found["status"] == "failed"


def test_a_job_that_gets_on_is_not_given_up() -> None:
    found = judge(75, has_advanced=True, tries=MOST_TRIES - 1)
    assert (found["status"], found["tries"]) == ("queued", 1)


def test_a_job_that_was_stopped_with_its_server_goes_on_at_once() -> None:
    found = judge(75, is_paused=True, tries=MOST_TRIES - 1)
    assert (found["status"], found["not_before"], found["is_paused"]) == ("queued", NOW, False)
    assert "tries" not in found


@pytest.mark.parametrize("bound", ["max_minutes", "max_cost"])
def test_a_bound_on_a_run_is_not_got_round_by_running_again(bound: str) -> None:
    assert judge(75, spec={bound: 1.0})["status"] == "failed"
    assert judge(-9, spec={bound: 1.0})["status"] == "queued"
