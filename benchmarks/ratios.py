"""The arithmetic of the tables: medians, spread, and ratios within one run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds of the rounds: the median, the least and the most."""

    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times faster ours is: over 1 is faster.

    Attributes:
        of_medians: their median time over ours.
        per_round: the median over rounds of their time over ours in the same round; other load on the machine, which
            both feel in a round, weighs less here.
        least: the worst round.
        most: the best round.
    """

    of_medians: float
    per_round: float
    least: float
    most: float


def spread(seconds: Sequence[float]) -> Spread:
    """Sum up one side's rounds.

    Raises:
        ValueError: there were none.
    """
    if not seconds:
        raise ValueError("expected at least one round, found none")
    return Spread(median=statistics.median(seconds), least=min(seconds), most=max(seconds), rounds=len(seconds))


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Compare two sides that ran in the same rounds.

    Raises:
        ValueError: they did not run in the same number of rounds, or a time is not positive.
    """
    if len(theirs) != len(ours) or not ours:
        raise ValueError(f"expected as many rounds of both sides, found {len(theirs)} and {len(ours)}")
    if min(*theirs, *ours) <= 0:
        raise ValueError(f"expected times above 0, found {min(*theirs, *ours)}")
    rounds = [them / us for them, us in zip(theirs, ours, strict=True)]
    return Ratio(
        of_medians=statistics.median(theirs) / statistics.median(ours),
        per_round=statistics.median(rounds),
        least=min(rounds),
        most=max(rounds),
    )


def best_of(times: Mapping[str, Sequence[float]]) -> str:
    """The side with the least median."""
    return min(times, key=lambda name: statistics.median(times[name]))


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """The order of one round: each begins with another side, so that none always runs after the same one."""
    start = round_number % max(len(names), 1)
    return [*names[start:], *names[:start]]
