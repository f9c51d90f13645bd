"""Plan a job: what a run would do and what it would take. Nothing is written, and no model runs unless it is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from batch.choose.gate import must_compare
from batch.choose.settle import load_for, loading_seconds, variant_of
from batch.choose.trial import ROWS, reference_of
from batch.choose.weigh import MATES
from batch.commit import list_parts
from batch.estimate.estimate import Estimate, estimate_job
from batch.estimate.foresee import remember_plan
from batch.prepare import Prepared, prepare_job
from batch.shard import Plan, Shard
from batch.spec import JobSpec
from batch.stores.storage import ObjectInfo
from batch.supervise.guardian import GUARDED
from models.choose import device_of, speed_here
from models.measure_costs import keep_costs

#: What comparing a variant with its reference imports.
GATE_IMPORT_S = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a run would do.

    Attributes:
        prepared: as the run would find it.
        parts: shard id -> its part, where it is committed.
        estimate: what the rest takes; None where nothing is left, or where nothing was to be measured.
    """

    prepared: Prepared
    parts: Mapping[str, ObjectInfo]
    estimate: Estimate | None = None

    @property
    def todo(self) -> list[tuple[Plan, Shard]]:
        return [(plan, shard) for plan, shard in self.prepared.shards if shard.id not in self.parts]

    def to_json(self) -> dict[str, Any]:
        """As `tandem plan --json` prints it."""
        prepared = self.prepared
        return {
            "fingerprint": prepared.record.fingerprint,
            "model": dict(prepared.record.model),
            "input": prepared.job.input,
            "output": prepared.target.url,
            "objects": sum(len(plan.objects) for plan in prepared.plans),
            "input_bytes": input_bytes([shard for _, shard in prepared.shards]),
            "left_out": [asdict(left_out) for left_out in prepared.left_out],
            "input_rows": sum(shard.rows for _, shard in prepared.shards),
            "shards": len(prepared.shards),
            "shards_committed": len(self.parts),
            "shards_to_do": len(self.todo),
            "input_rows_to_do": sum(shard.rows for _, shard in self.todo),
            "estimate": self.estimate.to_json() if self.estimate is not None else None,
        }


def plan_job(job: JobSpec, *, replace: bool = False, measure: bool = True) -> Planned:
    """Find what a run would do; with `measure`, load the model, and estimate by a sample what that would take.

    Raises:
        JobError, ModelError: what the run would raise.
    """
    started = time.perf_counter()
    prepared = prepare_job(job, replace=replace, dry=True)
    planned = Planned(
        prepared=prepared, parts=list_parts(prepared.target, prepared.record.fingerprint, list(prepared.plans))
    )
    if not (measure and planned.todo):
        return planned
    model = load_for(prepared.job, prepared.described)
    compared_s, compared_rows = comparing(prepared)
    estimate = estimate_job(
        prepared,
        planned.todo,
        model,
        start_s=time.perf_counter() - started + compared_s,
        compared_rows=compared_rows,
        journal=GUARDED.arm(job),
    )
    keep_costs(model)
    if estimate is not None:
        remember_plan(prepared, planned.todo, estimate)
    return Planned(prepared=prepared, parts=planned.parts, estimate=estimate)


def comparing(prepared: Prepared) -> tuple[float, float]:
    """What the parity gate will take: seconds, and so many rows through the model; nothing where it was done before."""
    job, described = prepared.job, prepared.described
    variant = variant_of(job, described)
    reference = reference_of(described)
    device = device_of(described, variant, job.device)
    if reference is None or not must_compare(prepared.target, prepared.record, device=device):
        return 0.0, 0.0
    rows = ROWS * (1 + MATES + max(speed_here(variant), 1.0))
    return GATE_IMPORT_S + loading_seconds(described.variants[reference]), rows


def input_bytes(shards: Sequence[Shard]) -> int:
    """Of all objects that these shards are of."""
    return sum({piece.key: piece.size_bytes for shard in shards for piece in shard.pieces}.values())
