"""Outcome: what the end of a job's process means for the job."""

from __future__ import annotations

import signal
from typing import Any

from service.jobs.record import JobRecord

#: What `tandem run` says by its exit code; 75 is the only one that the same command again may mend.
AGAIN = 75
FAILED = {
    1: "it ended over something unforeseen",
    2: "the job or its input has to be changed",
    3: "model, output or input are not those of this job",
    4: "too many error rows",
    77: "no access, or credentials have expired",
}
CANCELLED = "cancelled; what was finished is in the output"
#: Runs in a row that commit nothing and are cut short, after which a job has failed.
MOST_TRIES = 6
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0
#: Settings that bound one run, which ends with 75 when it meets them: going on is for whoever set them.
BOUNDS = ("max_minutes", "max_cost")


def judge_end(
    record: JobRecord, code: int | None, *, said: str | None, has_advanced: bool, now: float
) -> dict[str, Any]:
    """The changes that a job's end brings: it has ended, or waits to be run again.

    Args:
        record: the job as it ran.
        code: of its process, a signal's number below 0; None where nobody knows.
        said: the last thing it said of itself.
        has_advanced: this run committed something.
        now: seconds since 1970.
    """
    ended: dict[str, Any] = {"ended": now, "exit_code": code, "is_paused": False}
    if code == 0:
        return ended | {"status": "done", "message": None}
    if record.cancel_asked is not None:
        return ended | {"status": "cancelled", "message": CANCELLED}
    waiting: dict[str, Any] = {"status": "queued", "exit_code": code, "is_paused": False}
    if record.is_paused:
        return waiting | {"not_before": now, "message": "goes on: the server was stopped while it ran"}
    why = "its process ended while no server ran" if code is None else said or describe(code)
    if code is not None and code != AGAIN and code > 0:
        return ended | {"status": "failed", "message": why}
    if code == AGAIN and any(record.spec.get(bound) is not None for bound in BOUNDS):
        return ended | {"status": "failed", "message": f"{why}. Submit it again, and it goes on"}
    tries = 1 if has_advanced else record.tries + 1
    if tries >= MOST_TRIES:
        return ended | {"status": "failed", "tries": tries, "message": f"{why} ({tries} times, without getting on)"}
    pause_s = min(FIRST_PAUSE_S * 2 ** (tries - 1), LONGEST_PAUSE_S)
    said_so = f"is run again in {pause_s:.0f} s: {why}"
    return waiting | {"tries": tries, "not_before": now + pause_s, "message": said_so}


def describe(code: int) -> str:
    """An end of which the process said nothing itself."""
    if code < 0:
        try:
            return f"its process was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"its process was ended by signal {-code}"
    return FAILED.get(code, f"its process ended with {code}")
