"""Foresee: the estimate that a run goes by and that its manifest holds beside the truth, for no more than its worth."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batch.choose.settle import load_for
from batch.estimate.experience import remember_ratio
from batch.prepare import Prepared
from batch.profile import unit_of
from batch.shard import Plan, Shard
from batch.supervise.journal import Journal
from models.footprint import held_bytes
from models.host import recall, remember
from models.model import Model

if TYPE_CHECKING:
    from batch.estimate.estimate import Estimate

#: A run that is expected to take less makes no estimate of its own: a sample of its rows would be a part of it.
WORTH_S = 30.0
#: A run with a longer limit sends rows through the model first: that takes three seconds.
MEASURED_FROM_S = 120.0
#: Bytes of the source for a token or a step, about, where nothing was looked at yet.
BYTES_PER_UNIT = 4.0

Todo = Sequence[tuple[Plan, Shard]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run was expected to take.

    Attributes:
        by: whether `plan` or the `run` itself made it.
        content: as the manifest shows it.
        shards: shard id -> seconds; none where `plan` made it.
        is_known: whether something that was measured on this host foresees the run's own shards.
        least_s: what the shortest of them takes at the least.
    """

    by: str
    content: Mapping[str, Any]
    shards: Mapping[str, float] = field(default_factory=dict)
    is_known: bool = True
    least_s: float = 0.0


def foresee_run(
    prepared: Prepared, todo: Todo, *, spent_s: float, journal: Journal | None = None, supervised: bool = False
) -> tuple[Prepared, Forecast | None]:
    """Take the estimate that `tandem plan` made here of this very work, or make one where that is worth its time.

    A run with a limit makes one of its own, as it has to know its shards. Any other does so, without sending rows
    through the model, where it takes WORTH_S or more. With several workers, which load their own models, none is made;
    nor under supervision, where no row is to meet the model in this process.

    Args:
        prepared: the job.
        todo: the shards that are left.
        spent_s: since the run began.
        journal: where the sample's calls are noted.
        supervised: worker processes do the arithmetic, for a row may end the one it is in.

    Returns:
        The job, with its model where it had to be loaded; and the estimate, None where none was made.
    """
    job = prepared.job
    is_alone = job.workers == 1 and not supervised
    if job.limit_s is not None and is_alone:
        started = time.perf_counter()
        model = prepared.model or load_for(job, prepared.described)
        prepared = replace(prepared, model=model)
        start_s = spent_s + time.perf_counter() - started
        measured = job.limit_s >= MEASURED_FROM_S
        estimate = estimate_here(prepared, todo, model, start_s=start_s, measured=measured, journal=journal)
        if estimate is None:
            return prepared, None
        return prepared, replace(forecast(estimate), is_known=bool(estimate.measured or model.costs.calls))
    if (planned := recall_plan(prepared, todo)) is not None:
        return prepared, Forecast(by="plan", content=planned, is_known=False)
    if not is_alone or prepared.model is None or not prepared.model.costs.are_known:
        return prepared, None
    if rough_seconds(prepared, todo, prepared.model) < WORTH_S:
        return prepared, None
    estimate = estimate_here(prepared, todo, prepared.model, start_s=spent_s, measured=False, journal=journal)
    return prepared, forecast(estimate) if estimate is not None else None


def estimate_here(
    prepared: Prepared, todo: Todo, model: Model, *, start_s: float, measured: bool, journal: Journal | None
) -> Estimate | None:
    from batch.estimate.estimate import estimate_job  # a short job starts without it

    return estimate_job(prepared, todo, model, start_s=start_s, measured=measured, journal=journal)


def forecast(estimate: Estimate) -> Forecast:
    least = estimate.seconds.low / estimate.seconds.value if estimate.seconds.value else 1.0
    least_s = least * min(estimate.shards.values(), default=0.0)
    return Forecast(by="run", content=estimate.to_json(), shards=estimate.shards, least_s=least_s)


def rough_seconds(prepared: Prepared, todo: Todo, model: Model) -> float:
    """What the arithmetic takes, from the plan alone: to tell a minute from a second."""
    rows = sum(shard.rows for _, shard in todo)
    sizes = {piece.key: piece.size_bytes for _, shard in prepared.shards for piece in shard.pieces}
    bytes_per_row = sum(sizes.values()) / max(sum(shard.rows for _, shard in prepared.shards), 1)
    unit = unit_of(prepared.described.spec)
    length = 1.0 if unit == "images" else bytes_per_row / BYTES_PER_UNIT
    length = max(1.0, min(length, model.spec.max_length or length))
    at_once = min(8, model.max_rows)
    return rows * float(model.costs.seconds(at_once, length)) / at_once / max(model.streams, 1)


def key_of(prepared: Prepared, todo: Todo) -> str:
    """The job, and what is left of it."""
    left = hashlib.sha256("\n".join(sorted(shard.id for _, shard in todo)).encode()).hexdigest()
    return f"{prepared.record.fingerprint[:16]}-{left[:16]}"


def remember_plan(prepared: Prepared, todo: Todo, estimate: Estimate) -> None:
    """Keep what `tandem plan` said, for the run that follows it on this host."""
    remember("plans", key_of(prepared, todo), estimate.to_json())


def recall_plan(prepared: Prepared, todo: Todo) -> dict[str, Any] | None:
    """What `tandem plan` said of this very work."""
    found = recall("plans", key_of(prepared, todo))
    return found if isinstance(found, dict) and isinstance(found.get("seconds"), dict) else None


def beside_truth(found: Forecast | None, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The estimate as the manifest shows it, beside what became of it; the host remembers how far it was off.

    Args:
        found: what was expected.
        run: what the manifest says of the run.
    """
    if found is None:
        return None
    seconds = found.content["seconds"]
    truth = {
        "seconds": run["seconds"],
        "rows": run["rows"],
        "memory_bytes": held_bytes("VmHWM") if run["workers"] == 1 else None,
        "seconds_within": seconds["low"] <= run["seconds"] <= seconds["high"],
    }
    if found.content.get("measured"):
        remember_ratio(estimated_s=seconds["value"] / found.content.get("corrected_by", 1.0), seconds=run["seconds"])
    return {"by": found.by, **found.content, "truth": truth}
