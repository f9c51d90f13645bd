"""Experience: how far estimates were off on this host, so that the next ones say so."""

from __future__ import annotations

import math
import os

from batch.estimate.extrapolate import Total
from models.host import recall, remember

#: What two runs of one job differ by (standard deviation of the logarithm) on a host that nobody has seen yet, and how
#: many runs that counts as.
USUAL_SPREAD, USUAL_RUNS = 0.1, 6
#: By how much more they differ for every doubling of the work that waits for this host's cores: whoever works beside
#: the plan need not work beside the run. Beside 15 to 20 others on two cores runs took 0.7 to 2.1 times their plans.
CROWDED_SPREAD = 0.15
#: Runs that are remembered.
RUNS = 20
#: Shorter runs are mostly their start, and say nothing of longer ones.
LEAST_S = 5.0


def recall_ratios() -> list[float]:
    """Seconds that runs took here, over those that were estimated; the oldest first."""
    found = recall("estimates", "seconds")
    ratios = found if isinstance(found, list) else []
    return [float(ratio) for ratio in ratios if isinstance(ratio, int | float) and 0.05 < ratio < 20]


def remember_ratio(*, estimated_s: float, seconds: float) -> None:
    """Keep what came of an estimate."""
    if estimated_s > 0 and seconds >= LEAST_S:
        remember("estimates", "seconds", [*recall_ratios(), round(seconds / estimated_s, 4)][-RUNS:])


def remember_pace(job: str, seconds_per_row: float) -> None:
    """Keep what the model's own work took in the quickest shard of a bounded run of this job here, for the next run."""
    remember("paces", job, seconds_per_row)


def recall_pace(job: str) -> float | None:
    """Seconds a row."""
    found = recall("paces", job)
    return float(found) if isinstance(found, int | float) and found > 0 else None


def remember_refusal(job: str, limit_s: float) -> None:
    """Keep that a run of this job with this limit began no shard here."""
    remember("refusals", job, limit_s)


def take_refusal(job: str, limit_s: float) -> bool:
    """Whether the last run of this job here, with this limit, began no shard; asked once, and forgotten."""
    found = recall("refusals", job)
    if found is not None:
        remember("refusals", job, None)
    return isinstance(found, int | float) and found == limit_s


def drift() -> Total:
    """By what an estimate is multiplied, as those before were off on average, and what it may be off by besides."""
    logs = [math.log(ratio) for ratio in recall_ratios()]
    mean = sum(logs) / (len(logs) + USUAL_RUNS)
    squares = sum((log - mean) ** 2 for log in logs)
    spread = math.sqrt((USUAL_RUNS * USUAL_SPREAD**2 + squares) / (USUAL_RUNS + len(logs)))
    return Total(value=math.exp(mean), error=math.exp(mean) * math.hypot(spread, crowding()))


def crowding() -> float:
    """What the work of others on this host just now makes of the spread: nothing while there is a core for everyone."""
    waiting = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return CROWDED_SPREAD * math.log2(max(waiting, 1.0))
