"""Estimate: rows, tokens, time, memory, output and cost of a job before it runs, each with nine of ten cases."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.bounds import share_memory
from batch.commit import JOB
from batch.estimate.experience import drift
from batch.estimate.extrapolate import Interval, Total, interval_of
from batch.estimate.look import look_at
from batch.estimate.memory import estimate_memory, reference_bytes, try_largest
from batch.estimate.output import PART_BYTES, row_bytes, written_again
from batch.estimate.pace import Tryout, try_pace
from batch.estimate.row_costs import (
    EncodedSample,
    arithmetic_seconds,
    distinct_share,
    encode_samples,
    row_lengths,
    usual_window,
)
from batch.estimate.sums import PARTS_SPREAD, Sums
from batch.estimate.survey import InputSurvey, survey_input
from batch.prepare import Prepared
from batch.profile import unit_of
from batch.read import FIRST_ROWS, USUAL_ROWS
from batch.shard import Plan, Shard
from batch.supervise.journal import Journal
from models.model import Model

#: What a shard costs besides its rows, without its requests: threads, a file, an fsync.
SHARD_S = 0.03
#: Requests of a shard, one after another, and those at the end of a job for each part, of which 16 go at once.
SHARD_REQUESTS, PART_REQUESTS, AT_ONCE = 4, 2, 16
#: How far costs may be off that were not measured just now: measured here before, or shipped with the model.
KNOWN_SPREAD, SHIPPED_SPREAD = 0.12, 0.5
#: How far off sizes may be that were put together from parts, and what several processes make of one's pace.
SIZE_SPREAD, WORKERS_SPREAD = 0.12, 0.2
#: How far off the share of new values may be, for each value that is not new: which ones meet is the windows' affair.
REPEATS_SPREAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job, or what is left of it, will take.

    Attributes:
        unit: of what a row's length counts: tokens, steps or images.
        rows, units, seconds, output_bytes, memory_bytes: of all shards that are to be done.
        price: for an hour, in the caller's currency; None where nobody said.
        measured: whether rows went through the model for it, or its costs were taken as they were known.
        corrected_by: by what the seconds are multiplied, as estimates before were off on this host.
        sample: what it cost: rows, row groups, bytes and seconds.
        shards: shard id -> seconds that it is expected to take.
    """

    unit: str
    rows: Interval
    units: Interval
    seconds: Interval
    output_bytes: Interval
    memory_bytes: Interval
    price: float | None
    measured: bool
    corrected_by: float
    sample: Mapping[str, float]
    shards: Mapping[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> Interval | None:
        """What the seconds cost."""
        if self.price is None:
            return None
        each = self.price / 3600
        return Interval(value=self.seconds.value * each, low=self.seconds.low * each, high=self.seconds.high * each)

    def to_json(self) -> dict[str, Any]:
        """As `tandem plan --json` and the manifest show it."""
        return {
            "confidence": 0.9,
            "rows": self.rows.to_json(),
            self.unit: self.units.to_json(),
            "seconds": self.seconds.to_json(),
            "output_bytes": self.output_bytes.to_json(),
            "memory_bytes": self.memory_bytes.to_json(),
            "price_per_hour": self.price,
            "cost": self.cost.to_json() if self.cost is not None else None,
            "measured": self.measured,
            "corrected_by": self.corrected_by,
            "sample": dict(self.sample),
        }


def estimate_job(
    prepared: Prepared,
    todo: Sequence[tuple[Plan, Shard]],
    model: Model,
    *,
    start_s: float,
    compared_rows: float = 0.0,
    measured: bool = True,
    journal: Journal | None = None,
) -> Estimate | None:
    """Estimate what these shards will take here, from a sample of their rows.

    Costs a few seconds: reading and encoding a sample, and, where it is to be `measured`, sending rows through the
    model for three. Nothing is written but a file that is thrown away.

    Args:
        prepared: the job.
        todo: the shards in question.
        model: as the job loads it.
        start_s: what preparing and loading took, or will take.
        compared_rows: rows that will go through the model before the first part, to compare it with its reference.
        measured: otherwise the model's costs count as they are known by now.
        journal: where calls of the model are noted, so that one that never comes back is seen.

    Returns:
        None where nothing is to be done.

    Raises:
        JobError, ModelError: what a run would raise too.
    """
    started = time.perf_counter()
    columns, source = prepared.columns, prepared.source
    survey = survey_input(source, todo, columns)
    if not survey.rows:
        return None
    seen = look_at(source, survey, columns)
    samples = encode_samples(model, seen, columns.encoded, journal)
    pace = try_pace(prepared.job, model, columns, survey, seen, journal) if measured else Tryout()
    sums = Sums(survey, seen, samples)
    known = KNOWN_SPREAD if model.costs.calls else SHIPPED_SPREAD
    factor = pace.factor(model) if measured else Total(value=1.0, error=known)
    rate = pace.encode_rate if measured else encode_rate(samples)
    work = [
        row_seconds(
            model,
            sample,
            rate,
            shard_rows=survey.groups[sample.seen.number].shard.rows * sample.seen.share,
            most_rows=prepared.job.window_rows,
        )
        for sample in samples
    ]
    latency_s = time_request(prepared)
    rows, units = sums.passed(), sums.of([row_lengths(sample.encoded) for sample in samples])
    answering = shared_out(prepared, sums.of(work).product(factor).product(repeats(samples)), work, samples, rate)
    reading = sums.reading()
    steps = answering if answering.value >= reading.value else reading
    mean_weight = sum(float(one.weights.sum()) for one in samples) / max(sum(len(one.weights) for one in samples), 1)
    first_s = rate * mean_weight * min(FIRST_ROWS, rows.value / len(todo))
    each_s = SHARD_S + SHARD_REQUESTS * latency_s + first_s
    start_s += compared_rows * answering.value / max(rows.value, 1)
    besides_s = start_s + len(todo) * (each_s / processes(prepared, todo) + PART_REQUESTS * latency_s / AT_ONCE)
    correction = drift()
    seconds = steps.plus(Total(value=besides_s, error=PARTS_SPREAD * besides_s))
    by_group = sums.every(work) * survey.weights
    kept_ratio, number_bytes = written_again(source, survey.groups[0], columns) if seen else (1.0, 0.0)
    answers = rows.times(row_bytes(pace.answers) + number_bytes)
    written = sums.kept().times(kept_ratio).plus(answers).plus(Total(value=PART_BYTES * len(todo)))
    bounds = share_memory(prepared.job.memory)
    grown = try_largest(model, samples, journal) if measured else 0
    besides = reference_bytes(prepared.described.folder, grown) if compared_rows else 0
    return Estimate(
        unit=unit_of(prepared.described.spec),
        rows=interval_of(rows, at_most=survey.rows),
        units=interval_of(units),
        seconds=interval_of(seconds.product(correction)),
        output_bytes=interval_of(Total(value=written.value, error=written.error + SIZE_SPREAD * written.value)),
        memory_bytes=estimate_memory(prepared.job, bounds, samples, besides=besides),
        price=prepared.job.price,
        measured=measured,
        corrected_by=round(correction.value, 4),
        sample={
            "rows": sum(one.rows.num_rows for one in seen if one.rows is not None),
            "row_groups": len(seen),
            "bytes": sum(one.read_bytes for one in seen),
            "answered": pace.rows,
            "seconds": round(time.perf_counter() - started, 3),
        },
        shards=shard_seconds(todo, survey, by_group, steps.value, each_s),
    )


def row_seconds(
    model: Model, sample: EncodedSample, rate: float, *, shard_rows: float, most_rows: int
) -> NDArray[np.float64]:
    """What each row of a sample adds to a job: its arithmetic, as often as its value is new, and its encoding.

    Args:
        model: with its costs.
        sample: rows of one row group.
        rate: seconds of encoding for each unit of weight.
        shard_rows: rows of the row group's shard that pass the filter.
        most_rows: of a window.
    """
    new = distinct_share(sample.seen.distinct, shard_rows)
    window_rows = usual_window(shard_rows, min(most_rows, USUAL_ROWS)) * new
    return new * arithmetic_seconds(model, sample.encoded, window_rows) + rate * sample.weights


def repeats(samples: Sequence[EncodedSample]) -> Total:
    """How sure it is how often a value comes again within a window: of values that hardly do, quite."""
    new = float(np.mean([sample.seen.distinct[-1] for sample in samples])) if samples else 1.0
    return Total(value=1.0, error=REPEATS_SPREAD * (1 - new) / max(new, 0.1))


def encode_rate(samples: Sequence[EncodedSample]) -> float:
    """Seconds of encoding for each unit of weight, with nothing else done beside it."""
    weight = sum(float(sample.weights.sum()) for sample in samples)
    return sum(sample.seconds for sample in samples) / weight if weight else 0.0


def processes(prepared: Prepared, todo: Sequence[object]) -> int:
    """Worker processes at once; of `auto`, which is settled later, one is counted."""
    workers = prepared.job.workers
    return min(workers, len(todo)) if isinstance(workers, int) else 1


def shared_out(
    prepared: Prepared,
    answering: Total,
    work: Sequence[NDArray[np.float64]],
    samples: Sequence[EncodedSample],
    rate: float,
) -> Total:
    """What one process was found to take, for as many as the job has.

    The arithmetic has every core already; only encoding is done by several at once. This was not measured.
    """
    workers = prepared.job.workers
    if workers == 1 or not samples:
        return answering
    encoding = sum(float((rate * sample.weights).sum()) for sample in samples)
    share = encoding / max(sum(float(seconds.sum()) for seconds in work), 1e-12)
    most = workers if isinstance(workers, int) else 2
    faster = answering.value * (1 - share + share / most)
    value = faster if isinstance(workers, int) else (faster + answering.value) / 2
    return Total(value=value, error=float(np.hypot(answering.relative, WORKERS_SPREAD)) * value)


def time_request(prepared: Prepared) -> float:
    """Seconds of one request to the output's store, which nobody has to wait for long: the least of three."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        prepared.target.head(JOB)
        found.append(time.perf_counter() - started)
    return min(found)


def shard_seconds(
    todo: Sequence[tuple[Plan, Shard]],
    survey: InputSurvey,
    by_group: NDArray[np.float64],
    steps_s: float,
    each_s: float,
) -> dict[str, float]:
    """What each shard takes of the whole, by its row groups; those that nobody looked into, by their rows."""
    found = dict.fromkeys((shard.id for _, shard in todo), 0.0)
    for group, seconds in zip(survey.groups, by_group.tolist(), strict=True):
        found[group.shard.id] += seconds
    if survey.scale > 1:
        each = sum(found.values()) / survey.rows
        found = {shard.id: found[shard.id] or each * shard.rows for _, shard in todo}
    whole = sum(found.values())
    scale = steps_s / whole if whole else 0.0
    return {shard: scale * seconds + each_s for shard, seconds in found.items()}
