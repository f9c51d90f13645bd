"""Prepare: everything that can be refused is refused here, before a model is loaded or money spent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.bounds import check_memory
from batch.columns import JobColumns, job_columns
from batch.commit import (
    JobRecord,
    agree_on_job,
    agree_on_plan,
    is_finished,
    read_plans,
    read_record,
    refuse_other_job,
)
from batch.errors import InputChanged, InputNotFound, RuntimeMissing, UsageError
from batch.gate import Account, check_rows, must_compare, record_parity, reference_of
from batch.lean import leave_pandas_out
from batch.plan import make_plan
from batch.probe import check_conditional_puts
from batch.replace import clear_output
from batch.shard import Plan, Shard
from batch.spec import JobSpec
from batch.storage import ObjectInfo, Store, list_sources, open_store
from batch.uris import UriReader
from models.choose import check_tolerance, check_variant, choose_variant, device_of, find_variant
from models.errors import RuntimeUnavailable
from models.footprint import reset_peak
from models.load import Described, describe_model, load_model
from models.model import Model, Options
from models.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that may begin: its model is verified, its input listed and checked, its output claimed, its plans agreed.

    Attributes:
        job: with `runtime` and `precision` resolved.
        attempt: names this run in the metadata of what it writes.
        claimed: whether this run claimed the output, and not another.
        model: loaded to see that it does; None where another run claimed the output, or where processes load their own.
        parity: what comparing the variant with its reference found, where this run had to do it.
    """

    job: JobSpec
    described: Described
    columns: JobColumns
    record: JobRecord
    source: Store
    target: Store
    plans: Sequence[Plan]
    attempt: str
    claimed: bool = False
    model: Model | None = None
    parity: Account | None = None

    @property
    def shards(self) -> list[tuple[Plan, Shard]]:
        return [(plan, shard) for plan in self.plans for shard in plan.shards]


def prepare_job(job: JobSpec, *, replace: bool = False, dry: bool = False) -> Prepared:
    """Check the job and agree with every other run of it on what there is to do.

    Args:
        job: the settings.
        replace: what stands in the way of this job in the output is removed: another job's parts, and parts of inputs
            that changed. Not while another run is at work there.
        dry: nothing is written; what would be agreed is only made.

    Raises:
        ModelError: the model is not found, refused, or not runnable here.
        JobError: anything else that is wrong, said in one line.
    """
    leave_pandas_out()
    described = describe_model(job.model, **job.where_from)
    columns = job_columns(job, described.spec)
    target = open_store(job.output, **job.where_from)
    owner = None if replace else read_record(target)
    job = resolve_variant(job, described, owner)
    record = make_record(job, described)
    if owner is not None:
        refuse_other_job(target, owner, record)
    plans = [] if replace else read_plans(target)
    source, infos = list_input(job, target, plans)
    check_unchanged(source, infos, plans)
    attempt = uuid.uuid4().hex
    idle = bool(plans) and not uncovered(infos, plans, limit=job.limit) and is_finished(target, len(plans))
    if not (dry or idle):
        check_conditional_puts(target)
    plan = draft_plan(job, source, infos, columns, plans)
    # The input is found good before the output is claimed: whoever mends a wrong --column may use the same output.
    # And the model is found to load: whoever mends a wrong --device may use it too.
    model = load_for(job, described) if owner is None and not dry else None
    # Nor is it claimed by a variant that answers otherwise than the model: whoever takes another may use it too.
    parity = None
    device = "" if dry or idle else device_of(described, variant_of(job, described), job.device)
    if not (dry or idle) and must_compare(target, record, device=device, anew=replace):
        agreed = [*plans, *([plan] if plan is not None else [])]
        parity = check_rows(job, described, model or load_for(job, described), source, agreed, columns)
    if replace and not dry and plan is not None:
        clear_output(target, record, plan)
    if owner is None and not dry:
        agree_on_job(target, record, attempt=attempt)
    if parity is not None:
        record_parity(target, record, parity, device=device, attempt=attempt)
    while plan is not None:
        plans = [*plans, plan if dry else agree_on_plan(target, plan, attempt=attempt)]
        plan = draft_plan(job, source, infos, columns, plans)
    return Prepared(
        job=job,
        described=described,
        columns=columns,
        record=record,
        source=source,
        target=target,
        plans=tuple(plans),
        attempt=attempt,
        claimed=owner is None,
        model=model if job.workers == 1 else None,
        parity=parity,
    )


def load_for(job: JobSpec, described: Described, *, streams: int | None = None) -> Model:
    """Load the job's model with the job's options; None leaves the streams to the runtime.

    Raises:
        ModelError: it does not load.
        UsageError: with it, the job does not fit into its `--memory`.
    """
    if job.memory is not None:
        reset_peak()  # what was before is not the job's
    model = load_model(
        described,
        variant=variant_of(job, described),
        device=job.device,
        options=Options(on_long=job.on_long, top_k=job.top_k),
        threads=job.threads,
        compiled=job.compile,
        streams=streams,
        fetch=UriReader(**job.where_from),
    )
    check_memory(job.memory, workers=1 if job.workers == "auto" else job.workers)
    return model


def resolve_variant(job: JobSpec, described: Described, owner: JobRecord | None) -> JobSpec:
    """Settle `auto` once for the output: the variant that the first run chose, every later run takes.

    Raises:
        VariantMissing, VariantTooFar: the model has none such that answers closely enough.
        RuntimeMissing: this host cannot run it.
        MissingExtra: its package is not installed.
    """
    begun = "" if owner is None or owner.model["digest"] != described.digest else str(owner.model["variant"])
    runtime, _, precision = begun.partition("-")
    try:
        if begun and job.runtime in ("auto", runtime) and job.precision in ("auto", precision):
            variant = find_variant(described, runtime, precision)
            check_variant(described, variant, job.device)
            check_tolerance(described, variant, job.tolerance)
        else:
            variant = choose_variant(
                described, runtime=job.runtime, precision=job.precision, device=job.device, tolerance=job.tolerance
            )
    except RuntimeUnavailable as error:
        name = begun or job.runtime
        raise RuntimeMissing(name, str(error).rstrip("."), advice="Run it where that runtime is.") from None
    if described.own is not None:
        return job
    return job.model_copy(update={"runtime": variant.runtime, "precision": variant.precision})


def variant_of(job: JobSpec, described: Described) -> Variant:
    """The variant that a resolved job names; an operator's own class has one only."""
    if described.own is not None:
        return described.variants[described.own.variant]
    return find_variant(described, job.runtime, job.precision)


def make_record(job: JobSpec, described: Described) -> JobRecord:
    """The settings that change answers, and who answers; of a resolved job."""
    variant = variant_of(job, described)
    settings: dict[str, Any] = {
        "input": normal_url(job.input),
        "column": job.column,
        "keep": job.keep,
        "where": job.where,
        "limit": job.limit,
        "label": job.label,
        "on_long": job.on_long,
        "top_k": job.top_k,
        "shard_mb": float(job.shard_mb),
        "model": described.digest,
        "variant": variant.digest,
    }
    model = {
        "tag": described.tag,
        "digest": described.digest,
        "variant": variant.name,
        "runtime": variant.runtime,
        "precision": variant.precision,
        "reference": reference_of(described),
        "family": described.spec.family,
        "task": described.spec.task,
    }
    return JobRecord(settings=settings, model=model)


def normal_url(url: str) -> str:
    """One spelling for one place, so that `in`, `./in/` and `/here/in` are one input."""
    if url.startswith("s3://"):
        return url.rstrip("/")
    return str(Path(url.removeprefix("file://")).absolute())


def list_input(job: JobSpec, target: Store, plans: Sequence[Plan]) -> tuple[Store, list[ObjectInfo]]:
    """List the input; where the output lies inside it, what lies there is no input.

    Raises:
        InputChanged: there was input when the job was planned, and now there is none.
        UsageError: the output is the input's own folder, so that no later run could tell them apart.
    """
    try:
        source, infos = list_sources(job.input, **job.where_from)
    except InputNotFound as error:
        first = next((key for plan in plans for key in plan.objects), None)
        if first is None:
            raise
        raise InputChanged(f"{job.input} ({first})", expected=plans[0].objects[first], found=error.reason) from None
    if target.url == source.url:
        raise UsageError(
            f"--output {job.output} is the folder of the input itself; give the output a folder of its own, "
            "which may lie inside the input's."
        )
    if target.url.startswith(source.url):
        inside = target.url.removeprefix(source.url)
        infos = [info for info in infos if not info.key.startswith(inside)]
        if not infos:
            raise InputNotFound(job.input, "everything there is this job's own output")
    return source, infos


def check_unchanged(source: Store, infos: Sequence[ObjectInfo], plans: Sequence[Plan]) -> None:
    """Every planned object must be there as it was planned.

    Raises:
        InputChanged: names the first that is not.
    """
    now = {info.key: info.etag for info in infos}
    for plan in plans:
        for key, etag in plan.objects.items():
            if now.get(key) != etag:
                raise InputChanged(source.url_of(key), expected=etag, found=now.get(key, "nothing: it was deleted"))


def draft_plan(
    job: JobSpec, source: Store, infos: Sequence[ObjectInfo], columns: JobColumns, plans: Sequence[Plan]
) -> Plan | None:
    """The next plan, of what no plan has yet; None where there is nothing of that kind."""
    new = uncovered(infos, plans, limit=job.limit)
    if not new:
        return None
    left = None if job.limit is None else job.limit - sum(plan.admitted or 0 for plan in plans)
    return make_plan(source, new, columns, before=plans, shard_mb=job.shard_mb, limit=left)


def uncovered(infos: Sequence[ObjectInfo], plans: Sequence[Plan], *, limit: int | None) -> list[ObjectInfo]:
    """The objects that no plan has yet; none once the limit is reached."""
    if plans and limit is not None and sum(plan.admitted or 0 for plan in plans) >= limit:
        return []
    covered = {key for plan in plans for key in plan.objects}
    return [info for info in infos if info.key not in covered]
