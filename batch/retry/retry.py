"""Retry: a job's error rows once more, and their answers into the parts that are there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from batch.amounts import counted
from batch.choose.gate import describe_parity
from batch.commit import commit_manifest, list_parts, withdraw
from batch.errors import Interrupted, JobError, Unfinished
from batch.observe.fan_out import observed
from batch.prepare import Prepared
from batch.profile import describe_run
from batch.progress import LogProgress, Progress
from batch.report import Manifest, build_manifest
from batch.retry.find_errors import Survey
from batch.retry.prepare_retry import chosen_shards, prepare_retry
from batch.retry.ran import keep_ran, read_ran
from batch.run import check_errors, describe_prepared, done_before, find_flops, run_todo, when_begun
from batch.stop import Stop
from batch.supervise.guardian import GUARDED
from batch.table.publish import publish_retry
from batch.worker import Done, Shape
from models.errors import ModelError
from models.matmul import known_rate


def retry_job(
    output: str,
    *,
    classes: Sequence[str] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> Manifest:
    """Run the error rows of an output again, and replace each part concerned.

    A row that is answered becomes a prediction; one that fails again stays an error row, with its attempts counted up.
    Nothing else of a part changes. Safe beside runs and other retries: a part is replaced only as the version that was
    read, and whoever comes second looks at what the first one left. `_SUCCESS` and the manifest are away meanwhile;
    killed in between, the job is unfinished, and the same retry, or a run, makes it whole.

    Args:
        output: of a job; where model, input and settings are comes from its record.
        classes: of the error rows to run again; all where none is named.
        progress: who is told; None writes log lines.
        settings: some of those in settings.py, as of a job.

    Returns:
        The manifest, as it is now: `run` is still the job's, and this retry's own account is `retried`.

    Raises:
        Interrupted: asked to stop.
        Unfinished: some shards have no part yet, so that the job is not finished by this.
        TooManyErrors: there are still more error rows than `max_error_rate` or `max_errors` allows.
        InputChanged: a row's object is no longer the one that was planned.
        JobError, ModelError: as of run_job.
    """
    progress = progress or LogProgress()
    started, clock = when_begun()
    port, host = settings.get("metrics_port"), settings.get("metrics_host") or "127.0.0.1"
    with Stop() as stop, observed(progress, port=port, host=host) as progress:
        prepared, survey = prepare_retry(output, settings, classes=classes)
        if GUARDED.journal is not None:
            GUARDED.journal.claim()
        progress.told("prepared", **describe_prepared(prepared))
        if prepared.parity is not None:
            progress.told("compared", **describe_parity(prepared.parity))
        todo = chosen_shards(survey, classes)
        if unknown := [name for name in classes if name not in survey.errors]:
            there = ", ".join(f"{name} ({counted(rows, 'row')})" for name, rows in survey.errors.items())
            progress.told("no error row is of this class", asked=", ".join(unknown), there=there or "none")
        is_done = survey.manifest is not None and not todo
        before = None if is_done else set_aside(prepared, survey)
        shape, done = Shape(), done_before()
        if todo:
            progress.planned(shards=len(todo), rows=sum(shard.rows for _, shard in todo), done_rows=0)
            with staying_finished(prepared, before):
                is_second = GUARDED.before is not None
                shape, found = run_todo(patient(prepared), todo, progress, stop, earlier=Done(), supervised=is_second)
                done.join(found)
        else:
            progress.told("nothing to retry", output=prepared.target.url)
        run = describe_run(
            started=started,
            seconds=time.perf_counter() - clock,
            done=done,
            shape=shape,
            spec=prepared.described.spec,
            flops=find_flops(prepared, count=False),
            matmul=known_rate,
        )
        if not is_done:
            return finish_retry(prepared, before, run, progress)
        republish(prepared, progress, changed=False)
        manifest = cast(Manifest, survey.manifest)
        check_errors(manifest, prepared.job)
        return cast(Manifest, manifest | {"retried": run})


def patient(prepared: Prepared) -> Prepared:
    """The job as its error rows are run: that many of these fail again says nothing of the whole."""
    workers = 1 if prepared.job.workers == "auto" else prepared.job.workers
    return replace(
        prepared, job=prepared.job.model_copy(update={"max_error_rate": 1.0, "max_errors": None, "workers": workers})
    )


def set_aside(prepared: Prepared, survey: Survey) -> Mapping[str, Any] | None:
    """Take the manifest away, which will not be true of the parts, and keep what it alone says.

    Returns:
        The accounts of those who finished the job, also where a retry that died took them away; None where nobody did.
    """
    target, plans = prepared.target, len(prepared.plans)
    if survey.manifest is None:
        before = read_ran(target, plans=plans)
    else:
        before = keep_ran(target, survey.manifest, attempt=prepared.attempt)
    withdraw(target, plans=plans)
    return before


@contextlib.contextmanager
def staying_finished(prepared: Prepared, before: Mapping[str, Any] | None) -> Iterator[None]:
    """A job that was finished is left finished by a retry that fails, with a manifest of what its parts are then.

    Args:
        prepared: the job.
        before: the accounts of those who finished it; None where it was not finished.
    """
    try:
        yield
    except (JobError, ModelError):
        if before is not None:
            with contextlib.suppress(JobError):
                built = build_manifest(prepared.target, prepared.record, prepared.plans, before["run"])
                if built is not None:
                    commit_manifest(prepared.target, {**built, **before}, attempt=prepared.attempt)
        raise


def finish_retry(
    prepared: Prepared, before: Mapping[str, Any] | None, run: dict[str, Any], progress: Progress
) -> Manifest:
    """Make manifest and `_SUCCESS` true again.

    With every part there the job is finished, also where more error rows are left than allowed: that is then said.

    Args:
        prepared: the job.
        before: the accounts of those who finished it; where nobody did, it is this retry that does.
        run: this retry's account.
        progress: who is told.

    Raises:
        Unfinished: some shards have no part yet.
        Interrupted: a run or retry at the same time is not done.
        TooManyErrors: over all parts.
    """
    target = prepared.target
    account, shards = run if before is None else before["run"], len(prepared.shards)
    while (built := build_manifest(target, prepared.record, prepared.plans, account)) is None:
        done = list_parts(target, prepared.record.fingerprint, list(prepared.plans))
        if left := shards - len(done):  # else a run has put the last one between the two looks
            raise Unfinished(target.url, left=left, shards=shards, rows=run["rows"])
    built["retried"] = cast(Any, run)
    # First: a process that died in this retry may have taken away what said that the job was finished.
    if not commit_manifest(target, built, attempt=prepared.attempt):
        raise Interrupted("another run added input or replaced a part meanwhile")
    progress.told("done", rows=built["rows"], errors=built["error_rows"], parts=built["shards"])
    republish(prepared, progress, changed=True)
    check_errors(built, prepared.job)
    return built


def republish(prepared: Prepared, progress: Progress, *, changed: bool) -> None:
    """Where readers of a table see this job, let them see its new parts; a job that they do not see stays unseen.

    Raises:
        Interrupted: input was added meanwhile.
    """
    place = prepared.place
    if not place.folder:
        return
    published = publish_retry(place.root, place.folder, where=prepared.job.output_from, changed=changed)
    if published is None:
        raise Interrupted("another run added input")
    version, made = published
    if made:
        progress.told("promoted", table=place.root.url, version=version)
