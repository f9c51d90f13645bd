"""Pace: how fast a job goes, from when its parts were committed; nobody else is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Commits that say how fast a job goes now.
RECENT = 256
#: Of the longest times between two commits, the so many-th is usual: those above it may be pauses between runs.
PAUSES = ((2, 1), (16, 2), (32, 3))
#: A pause between runs is so many times what is usual, and so many seconds, at least;
MUCH, LEAST_S = 5.0, 60.0
#: a job no longer goes on after so many times the longest time between two commits that was no pause.
LATE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A part: when it was committed, in seconds since 1970, and how many input rows it is the answer to."""

    at: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a job goes on.

    Attributes:
        rows_per_s: input rows, of all who work at it together; None where too little is committed to say.
        seconds_left: at that rate; None where that is not known, or where the job does not go on.
        since_s: seconds since the last commit; None before the first.
        is_stalled: the last commit is longer ago than any two commits of a run were apart, by far.
    """

    rows_per_s: float | None
    seconds_left: float | None
    since_s: float | None
    is_stalled: bool


def measure_pace(commits: Sequence[Commit], *, begun: float | None, rows_left: int, now: float) -> Pace:
    """Measure the rate over the recent commits, without the pauses between runs.

    Several workers may commit at once and then not for a while: what is a pause is judged by the longest times that
    this job has had between two commits, not by their mean. Where the last run has committed little, the ones before
    it count too.

    Args:
        commits: every one.
        begun: when the job was planned: the first commits' time counts from there, the model's loading included.
        rows_left: input rows without a part.
        now: by the clock that the commits were timed with, or nearly.
    """
    ordered = sorted(commits, key=lambda commit: commit.at)
    recent = ordered[-RECENT:]
    if not recent:
        return Pace(rows_per_s=None, seconds_left=None, since_s=None, is_stalled=False)
    from_begin = len(recent) == len(ordered) and begun is not None and begun <= recent[0].at
    before = [begun if from_begin and begun is not None else recent[0].at, *(commit.at for commit in recent[:-1])]
    steps = [(commit.at - at, commit.rows) for at, commit in zip(before, recent, strict=True)]
    if not from_begin:
        steps = steps[1:]  # nobody knows when the first of them was begun
    usual_s = usual([seconds for seconds, _ in steps])
    if from_begin:
        usual_s = max(usual_s, steps[0][0])  # several workers commit their first parts together
    pause_s = max(LEAST_S, MUCH * usual_s)
    # The first run's own beginning is no pause, however long its first part took.
    is_pause = [seconds > pause_s and not (from_begin and number == 0) for number, (seconds, _) in enumerate(steps)]
    last_run = steps[len(steps) - is_pause[::-1].index(True) :] if True in is_pause else steps
    all_runs = [step for step, pause in zip(steps, is_pause, strict=True) if not pause]
    enough = sum(seconds for seconds, _ in last_run) >= max(1.0, 3 * usual_s)
    rows_per_s = rate(last_run if enough else all_runs)
    since_s = max(0.0, now - recent[-1].at)
    longest_s = max((seconds for seconds, _ in all_runs), default=math.inf)
    is_stalled = rows_left > 0 and since_s > max(LEAST_S, LATE * longest_s)
    left = rows_left / rows_per_s if rows_per_s and rows_left and not is_stalled else None
    return Pace(rows_per_s=rows_per_s, seconds_left=left, since_s=since_s, is_stalled=is_stalled)


def usual(seconds: Sequence[float]) -> float:
    """The longest time between two commits that is not one of a few exceptions; 0 of none."""
    exceptions = max((skipped for steps, skipped in PAUSES if len(seconds) >= steps), default=0)
    return sorted(seconds, reverse=True)[exceptions] if seconds else 0.0


def rate(steps: Sequence[tuple[float, int]]) -> float | None:
    """Rows a second; None over less than a tenth of a second, which times of whole seconds cannot tell from none."""
    seconds = sum(seconds for seconds, _ in steps)
    return sum(rows for _, rows in steps) / seconds if seconds >= 0.1 else None
