"""Describe: a plan and its estimate as the lines of `tandem plan`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from batch.amounts import counted, spell
from batch.estimate.estimate import Estimate
from batch.estimate.extrapolate import Interval
from batch.estimate.limit import limit_name
from batch.estimate.plan_job import Planned, input_bytes
from batch.spec import JobSpec


def plan_lines(planned: Planned) -> Iterator[str]:
    """What a run would read, skip and do."""
    prepared = planned.prepared
    shards, todo = [shard for _, shard in prepared.shards], [shard for _, shard in planned.todo]
    objects = sum(len(plan.objects) for plan in prepared.plans)
    rows, left = sum(shard.rows for shard in shards), sum(shard.rows for shard in todo)
    model = prepared.record.model
    yield f"model     {model['tag']} ({model['variant']}), {model['task']}, digest {model['digest'][:12]}"
    if prepared.kept is not None:
        short = prepared.kept
        yield (
            f"          the job is short: about {short.reference_s:.1f} s, with {short.variant}, its start and the "
            f"comparison included, {short.variant_s:.1f} s"
        )
    read = f"{counted(objects, 'file')}, {counted(rows, 'row')}, {input_bytes(shards):,} bytes"
    yield f"input     {prepared.job.input}: {read}"
    for left_out in prepared.left_out:
        yield f"left out  {left_out}"
    yield f"encoded   {prepared.columns.encoded} -> {prepared.described.spec.column}"
    if prepared.job.where:
        yield f"condition {prepared.job.where} (rows are counted before it)"
    yield f"output    {prepared.target.url}: fingerprint {prepared.record.fingerprint[:8]}"
    skipped = len(shards) - len(todo)
    done = f"{skipped} {'is' if skipped == 1 else 'are'} committed and would be skipped"
    yield f"shards    {len(shards)}; {done} ({counted(rows - left, 'row')})"
    yield f"to do     {counted(len(todo), 'shard')}, {counted(left, 'row')}"
    if planned.estimate is not None:
        yield from estimate_lines(planned.estimate, prepared.job)


def estimate_lines(estimate: Estimate, job: JobSpec) -> Iterator[str]:
    """What that takes on this host."""
    sample = estimate.sample
    yield "estimate  on this host, and in nine of ten cases from ... to ..."
    if job.where:
        yield f"  rows    {said(estimate.rows)}"
    yield f"  {estimate.unit:<8}{said(estimate.units)}"
    seconds = estimate.seconds
    yield f"  time    {spell(seconds.value)} ({spell(seconds.low)} to {spell(seconds.high)})"
    if (cost := estimate.cost) is not None:
        yield f"  cost    {cost.value:.3g} ({cost.low:.3g} to {cost.high:.3g}) at {estimate.price:g} an hour"
    yield f"  memory  {sized(estimate.memory_bytes)}"
    yield f"  output  {sized(estimate.output_bytes)}"
    if job.limit_s is not None and seconds.high > job.limit_s:
        yield f"  limit   {limit_name(job)}: {runs_within(estimate, job.limit_s)}"
    yield (
        f"  from    {sample['rows']:,} rows of {sample['row_groups']:,} row groups, {sample['answered']:,} answered; "
        f"the estimate took {sample['seconds']:.1f} s"
    )


def runs_within(estimate: Estimate, limit_s: float) -> str:
    """How often a run of so long has to be made."""
    if min(estimate.shards.values()) > limit_s:
        return "not a single shard is expected to be done in it"
    runs = min(max(1, math.ceil(estimate.seconds.value / limit_s)), len(estimate.shards))
    return f"about {counted(runs, 'run')} of the same command"


def said(found: Interval) -> str:
    if found.low == found.high:
        return f"{found.value:,.0f}"
    return f"{rounded(found.value):,} ({rounded(found.low):,} to {rounded(found.high):,})"


def rounded(number: float) -> int:
    """Three figures: more are not known."""
    return int(float(f"{number:.3g}"))


def sized(found: Interval) -> str:
    """In the unit of the largest."""
    factor, unit = next(((each, name) for each, name in ((1e9, "GB"), (1e6, "MB")) if found.value >= each), (1e3, "KB"))
    return f"{found.value / factor:.3g} {unit} ({found.low / factor:.3g} to {found.high / factor:.3g})"
