"""Prepare a retry: whose output it is, whether the same model is here, and which error rows are to be run again."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from batch.choose.gate import check_rows, must_compare, record_parity
from batch.choose.settle import load_for, resolve_variant, variant_of
from batch.choose.trial import take_trial
from batch.columns import job_columns
from batch.commit import JobRecord, look_again, read_plans, read_record, refuse_other_job
from batch.errors import UsageError
from batch.lean import leave_pandas_out
from batch.prepare import NOTED, Prepared, make_record
from batch.replace import read_next, refuse_unnamed
from batch.retry.again import only_encoded
from batch.retry.find_errors import Survey, survey_parts
from batch.shard import Plan, Shard
from batch.spec import JobSpec, make_job
from batch.status import open_output
from batch.stores.probe import check_replacing_puts
from batch.stores.storage import Store, open_store
from batch.table.place import place_of
from models.choose import device_of
from models.load import describe_model, is_class_name


def prepare_retry(output: str, settings: dict[str, Any], *, classes: Sequence[str] = ()) -> tuple[Prepared, Survey]:
    """Check that the output's job can go on here.

    Args:
        output: of a job.
        settings: some of those in settings.py; the others are the job's own, out of its record.
        classes: of the error rows to run again; all where none is named.

    Returns:
        The job, with the columns that its error rows are read by, and what its parts say of errors.

    Raises:
        InputNotFound: no job has begun there.
        FingerprintMismatch: the model is another one, or has other files.
        ReplaceInterrupted: parts lie there that no plan names.
        ModelError: it is not found, refused, or not runnable here.
    """
    leave_pandas_out()
    where = {"endpoint_url": settings.get("endpoint_url"), "region": settings.get("region")}
    target = open_output(output, **where, profile=settings.get("aws_profile"))
    owner = read_record(target)
    assert owner is not None
    job = job_of(owner, output, target, settings)
    target = open_store(target.url, **job.output_from)
    described = describe_model(job.model, **job.where_from)
    job = resolve_variant(job, described, owner)
    record = make_record(job, described)
    refuse_other_job(target, owner, record)
    source = open_store(str(owner.begun["source"]), **job.where_from)
    plans = read_plans(target)
    refuse_unnamed(target, owner.fingerprint, plans, read_next(target))
    survey = look_again(lambda: survey_parts(target, owner, plans), url=target.url)
    prepared = Prepared(
        job=job,
        described=described,
        columns=only_encoded(job_columns(job, described.spec)),
        record=owner,
        source=source,
        target=target,
        place=place_of(target, owner, **job.output_from),
        plans=tuple(plans),
        attempt=uuid.uuid4().hex,
        retry=tuple(classes),
    )
    if any(part.count(classes) for part in survey.faulty):
        check_replacing_puts(target)
        prepared = compared(prepared)
    return prepared, survey


def job_of(owner: JobRecord, output: str, target: Store, settings: dict[str, Any]) -> JobSpec:
    """The job's settings, as its record keeps them, and those that this retry is told.

    Raises:
        UsageError: the record is of a version that did not keep enough, or names a class, which is code: whoever runs
            it names it, and not an output.
    """
    if not {"model", "source"} <= owner.begun.keys():
        raise UsageError(
            f"{target.url} was begun by a version of Tandem that did not note where its model and input are. "
            "Run the job anew into another --output."
        )
    named = str(owner.begun["model"])
    if settings.get("model") is None and is_class_name(named):
        raise UsageError(
            f"the model of {target.url} is the class {named!r}, and code is not run because an output names it. "
            f"If it is yours, name it with --model."
        )
    kept = {name: value for name, value in owner.settings.items() if name in JobSpec.model_fields}
    if "part_size" in kept:
        kept["part_size"] = f"{kept['part_size']}B"
    # By name: what was chosen then is taken now, whatever is faster here. An operator's own class has no choice.
    for name in ("runtime", "precision"):
        if owner.model.get("reference") is not None:
            kept[name] = owner.model[name]
    kept |= {name: owner.begun[name] for name in NOTED if name in owner.begun}
    told = {name: value for name, value in settings.items() if value not in (None, ())}
    places = {"model": named, "output": output, "table": owner.begun.get("table", "none")}
    return make_job(kept | places | told)


def compared(prepared: Prepared) -> Prepared:
    """The job after the gate, which a host that computes otherwise than those before it has to pass; see gate.py.

    Raises:
        ParityBroken: the variant answers otherwise than the reference here.
    """
    job, described, target = prepared.job, prepared.described, prepared.target
    device = device_of(described, variant_of(job, described), job.device)
    if not must_compare(target, prepared.record, device=device):
        return prepared
    trial = take_trial(job, described, prepared.source, prepared.plans, job_columns(job, described.spec))
    model = load_for(job, described)
    parity = check_rows(job, described, model, trial)
    record_parity(target, prepared.record, parity, device=device, attempt=prepared.attempt)
    return replace(prepared, parity=parity, model=model if job.workers == 1 else None)


def chosen_shards(survey: Survey, classes: Sequence[str]) -> list[tuple[Plan, Shard]]:
    """The shards whose parts hold error rows of these classes; their `rows` are those that are run again."""
    counted = ((part, part.count(classes)) for part in survey.faulty)
    return [(part.plan, replace(part.shard, rows=rows)) for part, rows in counted if rows]
