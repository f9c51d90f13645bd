"""Limit: a run begins no shard that would not be done in its time; what it has in hand is finished and committed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from batch.amounts import counted, spell
from batch.errors import Interrupted
from batch.estimate.experience import remember_pace
from batch.progress import PassingProgress, Progress
from batch.shard import Plan, Shard
from batch.spec import JobSpec
from batch.stop import Stop

#: Of a shard's steps those that are the model's.
MODEL_STEPS = ("encode", "arithmetic", "decode")


class Limit:
    """The time that a run has, and what the next shard is expected to take.

    Expected is what was estimated, times how much slower this run's shards were than that; without an estimate, the
    shard's rows at the slowest pace of this run's shards, and nothing before the first. Shards that nothing foresees
    are begun in any case: a run that does none would come to nothing however often it is made.

    Args:
        job: with a limit.
        todo: the shards that are left, in the order in which they are begun.
        expected: shard id -> seconds; None where nobody estimated them.
        started: when the run began, on `clock`.
        at_once: shards that are in hand at once.

    Attributes:
        row_s: seconds a row of the model's own work, in the quickest shard so far.
    """

    def __init__(
        self,
        job: JobSpec,
        todo: Sequence[tuple[Plan, Shard]],
        *,
        expected: Mapping[str, float] | None,
        started: float,
        at_once: int = 1,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        assert job.limit_s is not None
        self.name = limit_name(job)
        self._ends, self._clock, self._at_once = started + job.limit_s, clock, at_once
        self._weights = {shard.id: expected[shard.id] if expected else float(shard.rows) for _, shard in todo}
        self._rows = {shard.id: shard.rows for _, shard in todo}
        self._left = list(self._weights)
        self.row_s: float | None = None
        self._slower = 1.0 if expected else 0.0

    def saw(self, shard: str, seconds: float | None, *, work_s: float | None = None) -> None:
        """A shard is committed: by this run, in so many seconds, with so many of the model's own work, or by another.

        A store that stalls makes the run's next shards slower, and says nothing of the next run's.
        """
        if shard in self._left:
            if seconds is not None and self._weights[shard] > 0:
                self._slower = max(self._slower, seconds / self._weights[shard])
            if work_s and self._rows[shard]:
                self.row_s = min(self.row_s or math.inf, work_s / self._rows[shard])
            self._left.remove(shard)

    @property
    def left_s(self) -> float:
        """Seconds; less than none once it is over."""
        return self._ends - self._clock()

    @property
    def reached(self) -> str | None:
        """Why the next shard is not to be begun; None where it would be done in time, or where there is none."""
        waiting = self._left[self._at_once - 1 :]
        if not waiting:
            return None
        expected_s, left_s = self._slower * self._weights[waiting[0]], self.left_s
        if left_s > 0 and expected_s <= left_s:
            return None
        return f"{self.name}: {spell(max(left_s, 0))} are left, and the next shard takes about {spell(expected_s)}"


class LimitedProgress(PassingProgress):
    """Passes on what is told; asks the run to stop once its limit is reached, and keeps its pace for the next run."""

    def __init__(self, progress: Progress, limit: Limit, stop: Stop, *, key: str) -> None:
        super().__init__(progress)
        self._limit, self._stop, self._key = limit, stop, key

    def told(self, event: str, **facts: object) -> None:
        super().told(event, **facts)
        if event in ("committed", "already committed"):
            seconds = facts.get("seconds")
            seconds = seconds if isinstance(seconds, float) else None
            self._limit.saw(str(facts["shard"]), seconds, work_s=work_seconds(facts.get("spent_s")))
            if self._limit.row_s is not None:
                remember_pace(self._key, self._limit.row_s)
            if (reason := self._limit.reached) is not None:
                self._stop.ask(reason)


def work_seconds(spent_s: object) -> float | None:
    """What a shard takes at the least whatever its store does: the longest of the model's steps, which overlap."""
    return max(spent_s[step] for step in MODEL_STEPS) if isinstance(spent_s, Mapping) else None


def limit_name(job: JobSpec) -> str:
    """How the limit that counts was given."""
    if job.max_minutes is not None and job.limit_s == 60 * job.max_minutes:
        return f"--max-minutes {job.max_minutes:g}"
    return f"--max-cost {job.max_cost:g} at --price {job.price:g}"


def fitting_first(
    todo: Sequence[tuple[Plan, Shard]], expected: Mapping[str, float] | None, *, left_s: float
) -> list[tuple[Plan, Shard]]:
    """The shards that fit into what is left, in their order; then those that should not, the shortest first."""
    if expected is None:
        return list(todo)
    return sorted(todo, key=lambda item: seconds if (seconds := expected[item[1].id]) > left_s else 0.0)


def check_start(job: JobSpec, *, start_s: float) -> None:
    """See that a run with a limit has time left once it has started.

    Raises:
        Interrupted: it has not. What held this start up, a store or a machine, need not hold up the next one.
    """
    if job.limit_s is not None and start_s > job.limit_s:
        raise Interrupted(f"{given_of(job)} alone took {spell(start_s)}. Allow more if it does so again")


def check_first_shard(job: JobSpec, *, start_s: float, shard_s: float, shards: int) -> None:
    """See that a run could do a single shard in its time.

    Args:
        job: with a limit.
        start_s: what the start took.
        shard_s: what the shortest of the shards takes at the least.
        shards: that are left.

    Raises:
        Interrupted: it could not. Another start may be quicker, and where the shard alone takes more than the limit,
            the next run begins it all the same: only a shard tells whether that is so.
    """
    if job.limit_s is None or start_s + shard_s <= job.limit_s:
        return
    needed = f"{given_of(job)} and the shortest of {counted(shards, 'shard')} take {spell(start_s + shard_s)} or more"
    if shard_s > job.limit_s:
        needed += (
            f". Allow more, or begin another output with a smaller --shard-mb than {job.shard_mb:g}; the next run "
            "begins a shard in any case, and learns whether that is so"
        )
    raise Interrupted(needed)


def given_of(job: JobSpec) -> str:
    """How a refusal begins."""
    assert job.limit_s is not None
    return f"{limit_name(job)} gives a run {spell(job.limit_s)}, and on this host the start"
