"""Prepare: everything that can be refused is refused here, what costs the least first, before money is spent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch.checks.disk import check_disk
from batch.choose.gate import Account, check_rows, must_compare, record_parity
from batch.choose.settle import load_for, resolve_variant, variant_of
from batch.choose.trial import reference_of, take_trial
from batch.choose.weigh import Settled, Weighed, weigh_job
from batch.columns import JobColumns, job_columns
from batch.commit import (
    NEXT,
    JobRecord,
    agree_on_job,
    agree_on_plan,
    is_finished,
    is_part,
    read_plans,
    read_record,
    refuse_other_job,
)
from batch.errors import FingerprintMismatch, InputChanged, InputNotFound, UsageError
from batch.lean import leave_pandas_out
from batch.plan import make_plan
from batch.replace import clear_output, read_next, read_owner, refuse_unnamed
from batch.shard import Plan, Shard
from batch.sizes import parse_size
from batch.spec import JobSpec
from batch.stores.left_out import LeftOut
from batch.stores.probe import check_conditional_puts
from batch.stores.storage import ObjectInfo, Sources, Store
from batch.table.delta_schema import delta_schema
from batch.table.place import Place, find_place, take_place
from batch.table.source import list_input_objects
from models.choose import device_of
from models.load import Described, describe_model
from models.model import Model

#: What a retry does as the first run did, though it changes no answer. Not `allow_uri`: no output opens files to rows.
NOTED = ("sse", "sse_key_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that may begin: its model is verified, its input listed and checked, its output claimed, its plans agreed.

    Attributes:
        job: with `runtime` and `precision` resolved.
        target: where plans and parts go; under a table the job's own folder.
        place: that folder, and the output that it lies in.
        attempt: names this run in the metadata of what it writes.
        claimed: whether this run claimed the output, and not another.
        model: loaded to see that it does; None where another run claimed the output, or where processes load their own.
        parity: what comparing the variant with its reference found, where this run had to do it.
        kept: why the reference was kept for a job that left its variant open, where it was.
        left_out: what lies below the input and is none.
        retry: the classes of the error rows that `tandem retry` runs again, all where none is named; None for a run.
    """

    job: JobSpec
    described: Described
    columns: JobColumns
    record: JobRecord
    source: Store
    target: Store
    place: Place
    plans: Sequence[Plan]
    attempt: str
    claimed: bool = False
    model: Model | None = None
    parity: Account | None = None
    kept: Weighed | None = None
    left_out: Sequence[LeftOut] = ()
    retry: tuple[str, ...] | None = None

    @property
    def shards(self) -> list[tuple[Plan, Shard]]:
        return [(plan, shard) for plan in self.plans for shard in plan.shards]


def prepare_job(job: JobSpec, *, replace: bool = False, dry: bool = False, samples_only: bool = False) -> Prepared:
    """Check the job and agree with every other run of it on what there is to do.

    Args:
        job: the settings.
        replace: what stands in the way of this job in the output is removed: another job's parts, and parts of inputs
            that changed. Not while another run is at work there.
        dry: nothing is written; what would be agreed is only made.
        samples_only: no row of the job is to meet a model in this process: samples stand for those that are compared.

    Raises:
        ModelError: the model is not found, refused, or not runnable here.
        JobError: anything else that is wrong, said in one line.
    """
    leave_pandas_out()
    described = describe_model(job.model, **job.where_from)
    columns = job_columns(job, described.spec)
    place = find_place(job.output, asked_settings(job, described), **job.output_from)
    target = place.target
    before = read_owner(target) if replace else read_record(target)
    owner = None if replace else before
    asked, job = job, resolve_variant(job, described, before, anew=replace)
    if owner is not None:
        refuse_other_job(target, owner, make_record(job, described))
    plans = [] if replace else read_plans(target)
    found = list_input(job, place.root, plans, before)
    source, infos = found.store, found.objects
    check_unchanged(source, infos, plans)
    attempt = uuid.uuid4().hex
    idle = bool(plans) and not uncovered(infos, plans, limit=job.limit) and is_finished(target, len(plans))
    plan = draft_plan(job, source, infos, columns, plans)
    agreed = [*plans, *([plan] if plan is not None else [])]
    kept = None if idle or owner is None else read_next(target)
    if owner is not None:
        refuse_unnamed(target, owner.fingerprint, agreed, kept)
    if job.table == "delta":
        check_columns(place.root.url, agreed, columns)
    if not idle:
        check_input(job, source, target, plan, agreed, columns)
    if not (dry or idle):
        check_conditional_puts(place.root)  # behind what people get wrong most, as it leaves an object there
    settled = Settled(job=job)
    if before is None or before.settings.get("variant") != variant_of(job, described).digest:
        settled = weigh_job(asked, job, described, source, agreed, columns, samples_only=samples_only)
        job = settled.job
    record, trial = make_record(job, described, source=source), settled.trial
    # The input is found good before the output is claimed: whoever mends a wrong --column may use the same output.
    # And the model is found to load: whoever mends a wrong --device may use it too.
    model = None
    if owner is None and not dry:
        model = trial.reference if settled.kept and trial else load_for(job, described)
    # Nor is it claimed by a variant that answers otherwise than the model: whoever takes another may use it too.
    parity = None
    device = "" if dry or idle else device_of(described, variant_of(job, described), job.device)
    if not (dry or idle) and must_compare(target, record, device=device, anew=replace, samples_only=samples_only):
        trial = trial or take_trial(job, described, source, agreed, columns, samples_only=samples_only)
        parity = check_rows(job, described, model or load_for(job, described), trial)
    if replace and not dry and plan is not None and job.table == "none":
        clear_output(target, record, plan, attempt=attempt)
    if owner is None and not dry:
        taken = take_place(place, record, anew=replace, attempt=attempt, **job.output_from)
        if taken is None or not claim(asked, taken.target, record, attempt=attempt):
            # Another run settled auto otherwise at the same time, and its choice counts. Two models are held no longer.
            settled, trial, model = Settled(job=job), None, None
            return prepare_job(asked, samples_only=samples_only)
        place, target = taken, taken.target
    if parity is not None:
        record_parity(target, record, parity, device=device, attempt=attempt)
    while plan is not None:
        plans = [*plans, plan if dry else agree_on_plan(target, plan, attempt=attempt)]
        plan = draft_plan(job, source, infos, columns, plans)
    if (replace or kept is not None) and not dry:
        target.delete(NEXT)  # every part that it names is named by the plans now
    return Prepared(
        job=job,
        described=described,
        columns=columns,
        record=record,
        source=source,
        target=target,
        place=place,
        plans=tuple(plans),
        attempt=attempt,
        claimed=owner is None,
        model=model if job.workers == 1 else None,
        parity=parity,
        kept=settled.kept,
        left_out=found.left_out,
    )


def check_input(
    job: JobSpec, source: Store, target: Store, new: Plan | None, agreed: Sequence[Plan], columns: JobColumns
) -> None:
    """See that the input may be read and that the largest part of what is planned now fits on the disk.

    Raises:
        AccessDenied: what was planned before may be listed and not read.
        StoreUnavailable, UsageError: see check_disk.
    """
    check_disk(job, source, target, [new] if new is not None else [], columns)
    if new is None and (first := next((key for plan in agreed for key in plan.objects), None)) is not None:
        source.head(first)  # planning reads the footers of what is new; of the rest nobody has read anything here


def claim(asked: JobSpec, target: Store, record: JobRecord, *, attempt: str) -> bool:
    """Claim the output; False where another run of a job that left its variant open claimed it with another one.

    Raises:
        FingerprintMismatch: another job's, with what differs.
    """
    try:
        agree_on_job(target, record, attempt=attempt)
    except FingerprintMismatch:
        if asked.runtime != "auto" or asked.precision != "auto":
            raise
        return False
    return True


def make_record(job: JobSpec, described: Described, *, source: Store | None = None) -> JobRecord:
    """The settings that change answers, and who answers; of a resolved job, with where `tandem retry` finds both."""
    variant = variant_of(job, described)
    settings = settings_of(job, described) | {"variant": variant.digest}
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
    begun: dict[str, Any] = {}
    if source is not None:
        begun = {"model": lasting_name(described), "source": source.url, "table": job.table}
        begun |= {name: value for name in NOTED if (value := getattr(job, name))}
    return JobRecord(settings=settings, model=model, begun=begun)


def lasting_name(described: Described) -> str:
    """The model's name as it may be given from elsewhere: a folder by its whole path, a tag with its version."""
    if described.folder is None or described.name.startswith("s3://"):
        return described.name
    folder = Path(described.name).expanduser()
    return str(folder.absolute()) if folder == described.folder else described.tag


def settings_of(job: JobSpec, described: Described) -> dict[str, Any]:
    """The settings that change answers, whichever variant gives them."""
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
    }
    if parse_size(job.part_size) != parse_size(JobSpec.model_fields["part_size"].default):
        settings["part_size"] = parse_size(job.part_size)  # else outputs of before there was this setting would differ
    return settings


def asked_settings(job: JobSpec, described: Described) -> dict[str, Any] | None:
    """What a table's job is found by again before its variant is settled; None: the output is no table."""
    if job.table == "none":
        return None
    open_settings = {"runtime": job.runtime, "precision": job.precision, "tolerance": job.tolerance}
    return settings_of(job, described) | open_settings


def check_columns(url: str, plans: Sequence[Plan], columns: JobColumns) -> None:
    """See that a Delta table can hold the columns of the parts.

    Raises:
        TableRefused: names the first that it cannot.
    """
    for plan in plans[:1]:
        folders = plan.shards[0].values if plan.shards else {}
        partitions = [plan.schema.field(name) for name in folders]
        delta_schema(url, pa.schema([*columns.written_schema(plan.schema, folders), *partitions]))


def normal_url(url: str) -> str:
    """One spelling for one place, so that `in`, `./in/` and `/here/in` are one input."""
    if url.startswith("s3://"):
        return url.rstrip("/")
    return str(Path(url.removeprefix("file://")).absolute())


def list_input(job: JobSpec, target: Store, plans: Sequence[Plan], owner: JobRecord | None) -> Sources:
    """List the input; where the output lies inside it, what lies there is no input.

    Nor are parts of the output's owner by their names, for a link, a mount or an access point may lead to them by
    another path than the output's own.

    Raises:
        InputChanged: there was input when the job was planned, and now there is none.
        UsageError: the output is the input's own folder, so that no later run could tell them apart.
    """
    try:
        found = list_input_objects(job.input, version=job.input_version, beside=target.url, where=job.where_from)
    except InputNotFound as error:
        first = next((key for plan in plans for key in plan.objects), None)
        if first is None:
            raise
        raise InputChanged(f"{job.input} ({first})", expected=plans[0].objects[first], found=error.reason) from None
    source, infos = found.store, found.objects
    if target.url == source.url:
        raise UsageError(
            f"--output {job.output} is the folder of the input itself; give the output a folder of its own, "
            "which may lie inside the input's."
        )
    inside = target.url.removeprefix(source.url) if target.url.startswith(source.url) else None
    if inside is not None or owner is not None:
        infos = [
            info
            for info in infos
            if not (inside is not None and info.key.startswith(inside))
            and not (owner is not None and is_part(info.key, owner.fingerprint))
        ]
        if not infos:
            raise InputNotFound(job.input, "everything there is this job's own output")
    return replace(found, objects=infos)


def check_unchanged(source: Store, infos: Sequence[ObjectInfo], plans: Sequence[Plan]) -> None:
    """Every planned object must be there as it was planned.

    Raises:
        InputChanged: names the first that is not.
    """
    now = {info.key: info.etag for info in infos}
    for plan in plans:
        for key, etag in plan.objects.items():
            if now.get(key) != etag:
                raise InputChanged(source.url_of(key), expected=etag, found=now.get(key) or absent(source, key))


def absent(source: Store, key: str) -> str:
    """Why an object is no longer input."""
    if source.head(key) is None:
        return "nothing: it was deleted"
    return "that the Delta table no longer names it (an earlier --input-version does)"


def draft_plan(
    job: JobSpec, source: Store, infos: Sequence[ObjectInfo], columns: JobColumns, plans: Sequence[Plan]
) -> Plan | None:
    """The next plan, of what no plan has yet; None where there is nothing of that kind."""
    new = uncovered(infos, plans, limit=job.limit)
    if not new:
        return None
    left = None if job.limit is None else job.limit - sum(plan.admitted or 0 for plan in plans)
    return make_plan(
        source, new, columns, before=plans, shard_mb=job.shard_mb, part_bytes=parse_size(job.part_size), limit=left
    )


def uncovered(infos: Sequence[ObjectInfo], plans: Sequence[Plan], *, limit: int | None) -> list[ObjectInfo]:
    """The objects that no plan has yet; none once the limit is reached."""
    if plans and limit is not None and sum(plan.admitted or 0 for plan in plans) >= limit:
        return []
    covered = {key for plan in plans for key in plan.objects}
    return [info for info in infos if info.key not in covered]
