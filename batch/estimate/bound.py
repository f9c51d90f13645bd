"""Bound: a run with --max-minutes or --max-cost held to it from its first shard on."""

from __future__ import annotations

import time

from batch.errors import Interrupted
from batch.estimate.experience import recall_pace, remember_refusal, take_refusal
from batch.estimate.foresee import Forecast, Todo
from batch.estimate.limit import Limit, LimitedProgress, check_first_shard, check_start, fitting_first
from batch.prepare import Prepared
from batch.progress import Progress
from batch.shard import Plan, Shard
from batch.stop import Stop
from batch.supervise.guardian import GUARDED

#: A shard's work may be done in so much of what that of the quickest shard took here, as another load lies on the host.
QUICKER = 0.8


def bound_run(
    prepared: Prepared, todo: Todo, forecast: Forecast | None, progress: Progress, stop: Stop, *, started: float
) -> tuple[list[tuple[Plan, Shard]], Progress]:
    """The shards in the order in which they fit into the limit, and a progress that stops the run between them.

    Args:
        prepared: a job with a limit.
        todo: the shards that are left.
        forecast: what they were expected to take; where it knows nothing of this host, the last bounded run counts.
        progress: who is told, also where nothing is known.
        stop: asked by the progress, between two shards.
        started: when the command began, on `time.perf_counter`.

    Raises:
        Interrupted: even the shortest shard cannot be done in it. A run that ends so leaves word of it: with the same
            limit the next one begins a shard, for what this one went by may be wrong, and only a shard tells.
    """
    job, key = prepared.job, prepared.record.fingerprint[:16]
    assert job.limit_s is not None
    expected = forecast.shards if forecast is not None and forecast.shards else None
    is_known, shard_s = forecast is not None and forecast.is_known, forecast.least_s if forecast is not None else 0.0
    if not is_known and (row_s := recall_pace(key)) is not None:
        is_known, expected = True, {shard.id: row_s * shard.rows for _, shard in todo}
        shard_s = QUICKER * min(expected.values())
    at_once = job.workers if isinstance(job.workers, int) else 1
    limit = Limit(job, todo, expected=expected, started=started, at_once=at_once)
    why = None
    if GUARDED.before is not None:
        why = "as the row that ended a process would never be found within this limit"
    else:
        start_s = time.perf_counter() - started
        check_start(job, start_s=start_s)
        if take_refusal(key, job.limit_s):
            why = "as the run before began none"
        elif not is_known:
            why = "as nothing measured here foresees it"
        else:
            try:
                check_first_shard(job, start_s=start_s, shard_s=shard_s, shards=len(todo))
            except Interrupted:
                remember_refusal(key, job.limit_s)
                raise
    if why is not None:
        progress.told("unforeseen", limit=limit.name, first=f"begun in any case, {why}")
    return fitting_first(todo, expected, left_s=limit.left_s), LimitedProgress(progress, limit, stop, key=key)
