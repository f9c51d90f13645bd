"""Run: one job from its settings to its manifest, resumed wherever an earlier run had come to."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from batch.account.manifest import Manifest
from batch.array import ArrayProgress, Place, find_place, take_turns
from batch.choose.choose_workers import choose_workers
from batch.choose.gate import describe_parity
from batch.choose.settle import load_for
from batch.choose.weigh import describe_weighed
from batch.commit import (
    commit_manifest,
    is_finished,
    list_parts,
    look_again,
    read_manifest,
    read_plans,
    see_accounts,
    withdraw,
)
from batch.errors import Interrupted, TooManyErrors, UsageError
from batch.estimate.bound import bound_run
from batch.estimate.foresee import beside_truth, foresee_run
from batch.observe.fan_out import observed
from batch.prepare import Prepared, prepare_job
from batch.profile import describe_run
from batch.progress import LogProgress, Progress
from batch.report import build_manifest
from batch.retry.ran import read_ran
from batch.shard import Plan, Shard
from batch.spec import JobSpec, make_job
from batch.stop import Stop
from batch.stores.probe import COMPLETE_KEY
from batch.stores.sweep import sweep_uploads
from batch.supervise.guardian import GUARDED
from batch.supervise.lead import run_in_processes
from batch.table.publish import publish_job
from batch.worker import Done, Shape, judge, run_shards
from models.flops import Flops, count_flops, read_flops
from models.matmul import known_rate, matmul_rate

#: After longer jobs the rate of matrix products is measured unasked: that takes less than a hundredth of them.
MEASURED_FROM_S = 60.0


def run_job(
    job: JobSpec | dict[str, Any],
    *,
    replace: bool = False,
    profile: bool = False,
    progress: Progress | None = None,
    supervised: bool = False,
) -> Manifest:
    """Run a job, or what is left of it, and return its manifest.

    Every row that the filter lets in ends as one row of the output, a prediction or an error with its reason, whatever
    dies and however often this is called. Calls at the same time are safe: of two attempts at a shard the first counts.
    Rows that raise cost themselves only; so do rows that hang, end their process or exhaust memory, where worker
    processes do the arithmetic: with `workers` of 2 or more, or `supervised`. The command `tandem run` always does so.
    With workers alone, the rows that a variant is compared over before the first part go through it in this process.
    Worker processes import the script that calls this: there it stands below `if __name__ == "__main__":`.

    Args:
        job: the settings, as a JobSpec or a mapping.
        replace: remove from the output what another job left there, and parts of inputs that changed.
        profile: measure after the job how fast matrix products are here, so that the manifest's `run` says what share
            of that the model's arithmetic reached. Without, that is measured after long jobs, and told where known.
        progress: who is told; None writes log lines.
        supervised: also a single worker is a process of its own, so that this one outlives whatever a row does. Here
            no row meets the model: a variant is compared with its reference over samples, unless `tandem run` guards.

    Returns:
        The manifest, as in `_tandem/manifest.json`, with this run's own `run`; it says where nothing was left to do.

    Raises:
        JobError, ModelError: one line says what, where, expected, found, and what to do; `exit_code` is the command's.
    """
    spec = make_job(job) if isinstance(job, dict) else job
    progress = progress or LogProgress()
    before = GUARDED.before
    place = find_place(spec) if spec.engine == "array" else None
    if place is not None and replace:
        raise UsageError(
            "--replace and --engine array: each machine would remove what the others write. Remove the old output "
            "first, or name another --output."
        )
    started, clock = when_begun()
    with Stop() as stop, observed(progress, port=spec.metrics_port, host=spec.metrics_host) as progress:
        # What died before this had the output already: what lies there now is this job's own.
        prepared = prepare_job(
            spec,
            replace=replace and not (before is not None and before.is_claimed),
            samples_only=supervised and GUARDED.journal is None,  # nobody would see which row ended this process
        )
        if GUARDED.journal is not None:
            GUARDED.journal.claim()
        progress.told("prepared", **describe_prepared(prepared))
        for some in prepared.left_out:
            progress.told("left out", files=some.files, why=some.why, first=some.first)
        if prepared.kept is not None:
            progress.told("short job", **describe_weighed(prepared.kept, prepared.record.model["variant"]))
        if prepared.parity is not None:
            progress.told("compared", **describe_parity(prepared.parity))
        # Before the listing: what another run says afterwards knows of parts that were not there yet, and stays.
        accounts = see_accounts(prepared.target)
        parts = list_parts(prepared.target, prepared.record.fingerprint, list(prepared.plans))
        todo = [(plan, shard) for plan, shard in prepared.shards if shard.id not in parts]
        known = None if todo else read_manifest(prepared.target, len(prepared.plans), parts.values())
        if known is not None:
            progress.told("already done", output=prepared.target.url, errors=known["error_rows"])
            idle = describe_run(started=started, seconds=0.0, done=Done(), shape=Shape(), spec=prepared.described.spec)
            manifest = cast(Manifest, known | {"run": idle})
            check_errors(manifest, spec)
            publish(prepared, progress)
            return manifest
        # With parts missing or replaced, also what covers every plan is untrue.
        untrue = bool(todo) or is_finished(prepared.target, len(prepared.plans))
        withdraw(prepared.target, plans=len(prepared.plans) - (0 if untrue else 1), seen=accounts)
        rows = sum(plan.rows for plan in prepared.plans)
        left = sum(shard.rows for _, shard in todo)
        progress.planned(shards=len(todo), rows=rows, done_rows=rows - left)
        if not prepared.claimed and place is None:
            todo = rotated(todo)
        shape, done, forecast = Shape(), done_before(), None
        if todo:
            earlier = committed_before(prepared)
            judge(Done(), spec, earlier)
            journal = GUARDED.arm(spec) if spec.workers == 1 and not supervised else None
            spent_s = time.perf_counter() - clock
            prepared, forecast = foresee_run(prepared, todo, spent_s=spent_s, journal=journal, supervised=supervised)
            if spec.limit_s is not None:
                todo, progress = bound_run(prepared, todo, forecast, progress, stop, started=clock)
            if place is not None:
                forecast = None  # it is of all that is left, of which this machine runs a share
            shape, found = run_todo(prepared, todo, progress, stop, earlier=earlier, supervised=supervised, place=place)
            done.join(found)
        seconds = time.perf_counter() - clock
        measure = profile or seconds > MEASURED_FROM_S
        run = describe_run(
            started=started,
            seconds=seconds,
            done=done,
            shape=shape,
            spec=prepared.described.spec,
            flops=find_flops(prepared, count=measure),
            matmul=matmul_rate if measure else known_rate,
        )
        own = run | {"estimate": beside_truth(forecast, run)}
        # With nothing left to run, what a retry that died has taken away still tells of the run that did it all.
        ran = None if todo else read_ran(prepared.target, plans=len(prepared.plans))
        manifest = finish(prepared, own if ran is None else ran["run"], progress)
        return cast(Manifest, manifest | {"run": own})


def describe_prepared(prepared: Prepared) -> dict[str, object]:
    """Which job this is, as every line, metric and span after it is to be read."""
    record = prepared.record
    return {
        "model": record.model["tag"],
        "variant": record.model["variant"],
        "fingerprint": record.fingerprint[:8],
        "attempt": prepared.attempt[:8],
    }


def find_flops(prepared: Prepared, *, count: bool) -> Flops | None:
    """What one piece costs, as it was recorded with the model; else counted now, in a second, if that is wished."""
    folder = prepared.described.folder
    known = read_flops(folder)
    if known is not None or folder is None or not count:
        return known
    return count_flops(folder / "model.onnx", prepared.described.spec)


def when_begun() -> tuple[str, float]:
    """When this command began, in UTC and on `time.perf_counter`: of one that goes on for another, when that did."""
    clock = time.perf_counter() if GUARDED.before is None else GUARDED.started
    began = datetime.now(UTC) - timedelta(seconds=time.perf_counter() - clock)
    return began.isoformat(timespec="seconds"), clock


def done_before() -> Done:
    """What processes of this command did that have died since."""
    done = Done()
    for account in GUARDED.before.accounts if GUARDED.before is not None else ():
        done.join(Done.read(account))
    return done


def committed_before(prepared: Prepared) -> Done:
    """Rows and error rows of the parts that are there, whoever put them; none where the job has no bound of them.

    Costs a listing, and a request for each part.
    """
    job, target = prepared.job, prepared.target
    if job.max_errors is None and job.max_error_rate == 1.0:
        return Done()
    from batch.watch.watched import count_parts

    def look() -> Done:
        parts = list_parts(target, prepared.record.fingerprint, list(prepared.plans))
        counts = count_parts(target, list(parts.values()))
        return Done(rows=sum(part.rows for part in counts), errors=sum(part.errors for part in counts))

    return look_again(look, url=target.url)


def run_todo(
    prepared: Prepared,
    todo: list[tuple[Plan, Shard]],
    progress: Progress,
    stop: Stop,
    *,
    earlier: Done,
    supervised: bool = False,
    place: Place | None = None,
) -> tuple[Shape, Done]:
    """Run the shards that are left, here or in processes; see run_shards and run_in_processes.

    As a machine of an array, at its `place`, those that no other machine has run meanwhile.
    """
    turns = None
    if place is not None:
        turns = take_turns(prepared, todo, place)
        progress = ArrayProgress(progress, turns)
    shape = choose_workers(prepared, todo, progress, stop)
    if shape.workers > 1 or supervised:
        done = run_in_processes(
            prepared, todo, shape, progress, stop, earlier=earlier, death=GUARDED.before, turns=turns
        )
        return shape, done
    model = prepared.model
    if model is None or shape.streams is not None:
        model = load_for(prepared.job, prepared.described, streams=shape.streams)
    journal = GUARDED.arm(prepared.job)
    order = todo if turns is None else (todo[number] for number in turns)
    return shape, run_shards(prepared, model, order, progress, stop, earlier=earlier, journal=journal)


def finish(prepared: Prepared, run: dict[str, Any], progress: Progress) -> Manifest:
    """Write the manifest and `_SUCCESS`, if every planned shard has its part.

    Raises:
        Interrupted: a plan was added or a part replaced meanwhile, or another run holds the last shards.
        TooManyErrors: over all parts, whichever run committed them; the job stays unfinished.
    """
    target = prepared.target
    plans = read_plans(target)
    if prepared.job.engine == "array" and (known := read_others(prepared, plans)) is not None:
        check_errors(known, prepared.job)
        progress.told("done", rows=known["rows"], errors=known["error_rows"], parts=known["shards"])
        publish(prepared, progress)
        return known
    manifest = build_manifest(target, prepared.record, plans, run)
    if manifest is not None:
        check_errors(manifest, prepared.job)
        # Before `_SUCCESS`: whoever is killed in between leaves a job that the next run finishes, and sweeps.
        folder = prepared.place.folder
        sweep_uploads(prepared.place.root, {COMPLETE_KEY, *(folder + part["key"] for part in manifest["parts"])})
    if manifest is None or not commit_manifest(target, manifest, attempt=prepared.attempt):
        raise Interrupted("another run added input, replaced a part or has not yet committed its shards")
    progress.told("done", rows=manifest["rows"], errors=manifest["error_rows"], parts=manifest["shards"])
    publish(prepared, progress)
    return manifest


def read_others(prepared: Prepared, plans: Sequence[Plan]) -> Manifest | None:
    """The manifest that another machine has written by now: to make it again would read the footer of every part."""
    parts = list_parts(prepared.target, prepared.record.fingerprint, list(plans))
    return cast(Manifest | None, read_manifest(prepared.target, len(plans), parts.values()))


def publish(prepared: Prepared, progress: Progress) -> None:
    """Under a table, let readers see the finished job, unless they did before.

    Raises:
        Interrupted: input was added meanwhile.
    """
    place = prepared.place
    if not place.folder:
        return
    if not prepared.job.promote:
        progress.told("held back", output=place.target.url)
        return
    published = publish_job(place.root, place.folder, where=prepared.job.output_from)
    if published is None:
        raise Interrupted("another run added input")
    version, made = published
    if made:
        progress.told("promoted", table=place.root.url, version=version)


def rotated(todo: list[tuple[Plan, Shard]]) -> list[tuple[Plan, Shard]]:
    """Begin somewhere else than the run that claimed the output: the two meet instead of doing everything twice."""
    start = random.randrange(max(len(todo), 1))
    return [*todo[start:], *todo[:start]]


def check_errors(manifest: Manifest, job: JobSpec) -> None:
    """Judge the whole job.

    Raises:
        TooManyErrors: the number of error rows, or their share, is above the job's bound.
    """
    errors, rows = manifest["error_rows"], manifest["rows"]
    is_many = job.max_errors is not None and errors > job.max_errors
    if is_many or errors > job.max_error_rate * rows:
        kinds = ", ".join(f"{kind} ({count} rows)" for kind, count in manifest["errors"].items())
        raise TooManyErrors(
            errors=errors, rows=rows, max_error_rate=job.max_error_rate, max_errors=job.max_errors, first=kinds
        )
