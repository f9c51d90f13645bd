"""The planner judged by a job's own account: how far it foresees, and what it takes of the model's time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.measure import Taken
from benchmarks.results_file import Comparison, Found, Result

#: Of the model's time, what planning may take.
SHARE = 0.01
#: Seconds of a whole job.
NEXT_TO_NOTHING_S = 0.05


def foresight(comparison: Comparison, side: Taken) -> Found | None:
    """How far the planner's prediction was from what its micro-batches took, in the median of the rounds."""
    off = [abs(run["predicted_s"] / run["forward_s"] - 1) for run in accounts(side) if run.get("predicted_s")]
    if not off:
        return None
    which = f"{comparison.title}, " if comparison.title else ""
    measure = f"{which}{side.name}: the planner's prediction is off by (median of rounds, as a share)"
    return Found(measure=measure, value=statistics.median(off), bound=0.1, at_most=True)


def planning(result: Result) -> Found | None:
    """What planning took of the model's time, in the median of the rounds, where it took the most in this section.

    A model that takes next to nothing is not judged: whatever is done for a window is more than that.
    """
    shares: dict[str, float] = {}
    for comparison in result.comparisons:
        for side in comparison.sides:
            if taken := [
                run["plan_s"] / run["forward_s"] for run in accounts(side) if run["forward_s"] > NEXT_TO_NOTHING_S
            ]:
                which = f"{comparison.title}, {side.name}" if comparison.title else side.name
                shares[which] = statistics.median(taken)
    if not shares:
        return None
    most = max(shares, key=lambda which: shares[which])
    measure = f"{result.section}: planning, as a share of the model's time (median of rounds), most in {most}"
    return Found(measure=measure, value=shares[most], bound=SHARE, at_most=True)


def accounts(side: Taken) -> Iterator[Mapping[str, Any]]:
    """What Tandem said of each round, where its model took any time."""
    for facts in [] if side.failed else side.facts:
        if facts.get("run", {}).get("forward_s"):
            yield facts["run"]
