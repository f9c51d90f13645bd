"""Goodput: answers within the goal a second, over a ladder of offered rates, and what is left of it beyond capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.online.load import Answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One offered rate.

    Attributes:
        offered: requests a second, as drawn.
        goodput: answers of status 200 within the goal, a second.
        p99_ms: of what was answered with 200; infinity where nothing was.
        refused: share of the requests that got 503 or 429.
        failed: share that got another status, or no answer.
    """

    offered: float
    goodput: float
    p99_ms: float
    refused: float
    failed: float

    @property
    def holds(self) -> bool:
        """Whether those whom the server answers are answered in time: the goal as a p99."""
        return self.p99_ms <= GOAL_MS


GOAL_MS = 500.0
#: What a server may turn away at its capacity.
MOST_REFUSED = 0.1
#: The first seconds of a step are the filling of the queue, which no step is judged by.
SETTLE_S = 2.0


def judge(answers: Sequence[Answered], seconds: float) -> Step:
    """What a step came to, after its first SETTLE_S."""
    counted = [one for one in answers if SETTLE_S <= one.sent_s < seconds]
    span = seconds - SETTLE_S
    good = sorted(one.seconds * 1000 for one in counted if one.status == 200)
    return Step(
        offered=len(counted) / span,
        goodput=sum(ms <= GOAL_MS for ms in good) / span,
        p99_ms=percentile(good, 0.99),
        refused=share(counted, (503, 429)),
        failed=1 - share(counted, (200, 503, 429)),
    )


def share(answers: Sequence[Answered], statuses: Sequence[int]) -> float:
    return sum(one.status in statuses for one in answers) / max(len(answers), 1)


def percentile(ordered: Sequence[float], part: float) -> float:
    """The least value that at least this part of the values does not exceed; infinity of none."""
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else float("inf")


def capacity(steps: Sequence[Step]) -> Step | None:
    """The step of the most goodput among those that hold the goal and turn away few; None of no steps.

    Where all that hold it turn away more, the best of those; where none holds it, the best of all: a late answer does
    not count as goodput. Without the bound on refusals a server that refuses the longest texts would have the more
    goodput the more it refuses.
    """
    holding = [step for step in steps if step.holds]
    few = [step for step in holding if step.refused + step.failed <= MOST_REFUSED]
    return max(few or holding or steps, key=lambda step: step.goodput, default=None)
