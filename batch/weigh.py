"""Weigh: whether a job is long enough for its fastest variant to pay back what that needs before the first part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.settle import loading_seconds
from batch.trial import Trial
from models.choose import speed_here
from models.micro_batch import plan_micro_batches
from models.model import Encoded, Model
from models.variants import Variant
from models.window import predict_seconds

#: Calls among other batch-mates, in those that the trial needs anyway; see models/parity/compositions.py.
MATES = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Seconds that a job is expected to take from here, by the reference and by a variant.

    Attributes:
        reference_s: rows alone: the reference is loaded by now and is compared with nothing.
        variant_s: rows, loading, and sending the trial through both.
        variant: its name.
    """

    reference_s: float
    variant_s: float
    variant: str

    @property
    def keeps_reference(self) -> bool:
        return self.reference_s <= self.variant_s


def weigh_variant(trial: Trial, variant: Variant, *, rows: int) -> Weighed:
    """Predict the job by the reference's measured costs, and the variant from its measured speed beside it.

    Costs encoding the trial once. Where the job has no rows, the reference is the cheaper one.

    Args:
        trial: rows of the job, and the reference.
        variant: which would run instead.
        rows: of the job, before its filter.
    """
    if trial.drawn is None or rows == 0:
        return Weighed(reference_s=0.0, variant_s=math.inf, variant=variant.name)
    speed = speed_here(variant)
    drawn = trial.drawn
    encoded = trial.reference.encode(trial.values)
    each_s = row_seconds(trial.reference, encoded)
    order = np.argsort(drawn.sizes, kind="stable")
    # Short rows are drawn more often: what a row takes is read off by its size, for all that were looked at.
    mean_s = float(np.interp(drawn.looked_at, drawn.sizes[order], each_s[order]).mean())
    trial_s = float(each_s.sum())
    compared_s = trial_s + (1 + MATES) * trial_s / speed
    variant_s = loading_seconds(variant) + compared_s + rows * mean_s / speed
    return Weighed(reference_s=rows * mean_s, variant_s=variant_s, variant=variant.name)


def row_seconds(model: Model, encoded: Encoded) -> NDArray[np.float64]:
    """What each row is expected to add to a job, by the model's costs; shape (rows,)."""
    lengths = model.padded_lengths(encoded.lengths)
    planned = plan_micro_batches(
        lengths, costs=model.costs, max_rows=model.max_rows, max_padded=model.max_padded, pads=model.pads
    )
    pieces_s = np.zeros(len(lengths))
    for chosen, seconds in zip(planned, predict_seconds(model, lengths, planned), strict=True):
        pieces_s[chosen] = seconds * lengths[chosen] / lengths[chosen].sum() / max(model.streams, 1)
    return np.bincount(encoded.piece_rows, weights=pieces_s, minlength=encoded.rows).astype(np.float64)


def describe_weighed(weighed: Weighed, variant: str) -> dict[str, object]:
    """What a log line says of a job that is too short for its fastest variant."""
    return {
        "variant": variant,
        "seconds": f"{weighed.reference_s:.2g}",
        "other": weighed.variant,
        "other_seconds": f"{weighed.variant_s:.2g}",
    }
