"""Weigh: whether a job is long enough for its fastest variant to pay back what that needs before the first part."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.choose.settle import loading_seconds, name_variant, variant_of
from batch.choose.trial import ROWS, Trial, reference_of, rows_in_hand, take_trial
from batch.columns import JobColumns
from batch.shard import Plan
from batch.spec import JobSpec
from batch.stores.storage import Store
from models.choose import device_of, speed_here
from models.load import Described
from models.micro_batch import plan_micro_batches
from models.model import Encoded, Model
from models.parity.compositions import PIECES
from models.variants import Variant
from models.window import Watched, predict_seconds

#: Calls among other batch-mates, in those that the trial rows need anyway: alone, in pairs, and together.
MATES = 3 * PIECES / ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Seconds that a job is expected to take from here, by the reference and by a variant.

    Attributes:
        reference_s: rows alone: the reference is loaded by now and is compared with nothing.
        variant_s: rows, loading, and sending the trial rows through both.
        variant: its name.
    """

    reference_s: float
    variant_s: float
    variant: str

    @property
    def keeps_reference(self) -> bool:
        return self.reference_s <= self.variant_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A job whose variant is named, and what is at hand by then.

    Attributes:
        trial: rows and the reference, where they were needed to settle it.
        kept: why the reference was kept, where it was.
    """

    job: JobSpec
    trial: Trial | None = None
    kept: Weighed | None = None


def weigh_job(
    asked: JobSpec,
    job: JobSpec,
    described: Described,
    source: Store,
    plans: Sequence[Plan],
    columns: JobColumns,
    *,
    samples_only: bool = False,
) -> Settled:
    """Keep the reference where a job that left its variant open is too short for the one that it got.

    Args:
        asked: the job as its caller wrote it.
        job: with its variant named.
        described: its model.
        source: the input's store.
        plans: what the job reads.
        columns: what it encodes, and its filter.
        samples_only: see take_trial; then nothing is known of the job's rows, and the variant stays.

    Raises:
        ReferenceMissing: the reference cannot be run here, and what was chosen could not be compared with it either.
    """
    if not is_open(asked, job, described):
        return Settled(job=job)
    trial = take_trial(job, described, source, plans, columns, samples_only=samples_only)
    with rows_in_hand(job) as watched:
        weighed = weigh_variant(trial, variant_of(job, described), rows=count_rows(plans), watched=watched)
    if weighed is None or not weighed.keeps_reference:
        return Settled(job=job, trial=trial)
    reference = described.variants[str(reference_of(described))]
    return Settled(job=name_variant(job, described, reference), trial=trial, kept=weighed)


def is_open(asked: JobSpec, job: JobSpec, described: Described) -> bool:
    """Whether a job left its variant open and got another than the reference, both of them on the CPU.

    Not under `--memory`: what the reference holds would count against the bound.
    """
    reference = reference_of(described)
    if asked.runtime != "auto" or asked.precision != "auto" or reference is None:
        return False
    if job.compile or job.memory is not None:
        return False
    got = variant_of(job, described)
    if got.reference or device_of(described, got, job.device) != "cpu":
        return False
    return device_of(described, described.variants[reference], job.device) == "cpu"


def count_rows(plans: Sequence[Plan]) -> int:
    """How many rows a job has, before its filter."""
    return sum(plan.rows if plan.admitted is None else min(plan.admitted, plan.rows) for plan in plans)


def weigh_variant(trial: Trial, variant: Variant, *, rows: int, watched: Watched | None = None) -> Weighed | None:
    """Predict the job by the reference's measured costs, and the variant from its measured speed beside it.

    Costs encoding the trial rows once, unless they are images. A filter lets fewer rows in than are counted: then a
    job may seem too long.

    Args:
        trial: rows of the job, and the reference.
        variant: which would run instead.
        rows: of the job, before its filter.
        watched: is around the call; see run_window.

    Returns:
        None where nobody knows: no row was drawn, so that the job's rows are yet to come or hidden behind its filter,
        or the reference was never timed.
    """
    if trial.drawn is None or not trial.reference.costs.are_known:
        return None
    speed = speed_here(variant)
    drawn = trial.drawn
    each_s = row_seconds(trial.reference, encode_trial(trial, watched))
    order = np.argsort(drawn.sizes, kind="stable")
    # Short rows are drawn more often: what a row takes is read off by its size, for all that were looked at.
    mean_s = float(np.interp(drawn.looked_at, drawn.sizes[order], each_s[order]).mean())
    trial_s = float(each_s.sum())
    compared_s = trial_s + (1 + MATES) * trial_s / speed
    variant_s = loading_seconds(variant) + compared_s + rows * mean_s / speed
    return Weighed(reference_s=rows * mean_s, variant_s=variant_s, variant=variant.name)


def encode_trial(trial: Trial, watched: Watched | None) -> Encoded:
    """The trial rows as the reference encodes them; of images only how long they are.

    Every image is one piece of length 1, and unpacking 64 photos takes as long as answering some of them.
    """
    rows = np.arange(len(trial.values))
    if trial.reference.spec.preprocess is not None:
        ones, none = np.ones(len(rows), np.int64), np.zeros(len(rows), np.bool_)
        return Encoded(rows=len(rows), features={}, piece_rows=rows, lengths=ones, truncated=none)
    with nullcontext() if watched is None else watched(rows, 0.0):
        return trial.reference.encode(trial.values)


def row_seconds(model: Model, encoded: Encoded) -> NDArray[np.float64]:
    """What each row is expected to add to a job, by the model's costs; shape (rows,)."""
    lengths = model.padded_lengths(encoded.lengths)
    planned = plan_micro_batches(
        lengths, costs=model.costs, max_rows=model.max_rows, max_padded=model.max_padded, pads=model.pads
    )
    at_once = max(1, min(model.streams, len(os.sched_getaffinity(0))))
    pieces_s = np.zeros(len(lengths))
    for chosen, seconds in zip(planned, predict_seconds(model, lengths, planned), strict=True):
        pieces_s[chosen] = seconds * lengths[chosen] / lengths[chosen].sum() / at_once
    return np.bincount(encoded.piece_rows, weights=pieces_s, minlength=encoded.rows).astype(np.float64)


def describe_weighed(weighed: Weighed, variant: str) -> dict[str, object]:
    """What a log line says of a job that is too short for its fastest variant."""
    return {
        "kept": variant,
        "seconds": round(weighed.reference_s, 1),
        "instead_of": weighed.variant,
        "seconds_with_start": round(weighed.variant_s, 1),
    }
