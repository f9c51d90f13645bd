"""Two answers that differ, in words: how far, where, and by which factor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from models.model import Outputs
from models.parity.agreement import Agreement
from models.parity.compositions import first_array

#: From this correlation on, two sets of numbers are one but for a factor.
ALIKE = 0.99


def describe_loss(agreement: Agreement, bound: float, *, of_mean: bool) -> str:
    """The measure that is out of bounds, and the bound."""
    within = f"the tolerance is {bound:.3g}"
    if agreement.faults_differ:
        return f"{agreement.faults_differ} of {agreement.rows} rows are error rows in one of the two only"
    if not of_mean:
        return f"its answer differs by {agreement.largest:.3g}, {within}"
    if agreement.cosine_mean is not None:
        return f"1 - cosine is {1 - agreement.cosine_mean:.3g} in the mean of {agreement.rows} rows, {within}"
    labels = "" if agreement.labels_agree is None else f" and {1 - agreement.labels_agree:.0%} have another label"
    return f"scores differ by {agreement.mean:.3g} in the mean of {agreement.rows} rows{labels}, {within}"


def describe_row(expected: pa.RecordBatch, found: pa.RecordBatch) -> str:
    """What each of the two says of one row."""
    one, other = expected.to_pylist()[0], found.to_pylist()[0]
    if "embedding" in one and None not in (one["embedding"], other["embedding"]):
        left, right = np.asarray(one["embedding"]), np.asarray(other["embedding"])
        place = int(np.abs(left - right).argmax())
        return f"element {place} is {left[place]:.6g} in the reference and {right[place]:.6g} in the variant"
    return f"the reference says {say(one)}, the variant {say(other)}"


def say(answer: Mapping[str, Any]) -> str:
    """An answer's fault, or its label and score, or what it holds."""
    if answer.get("error") is not None:
        return f"{answer['error']['class']}"
    if "labels" in answer:
        best = answer.get("scores") or [("none", math.nan)]
        return f"{answer['labels']} (best {best[0][0]!r} at {best[0][1]:.6g})"
    if "label" in answer and "score" in answer:
        return f"{answer['label']!r} at {answer['score']:.6g}"
    return ", ".join(f"{name} {value!r}" for name, value in answer.items() if name not in ("error", "truncated"))[:200]


def describe_ratio(right: Outputs, planned: Outputs) -> str:
    """Where all numbers of the one are those of the other but for a factor: that factor."""
    one, other = first_array(right), first_array(planned)
    if one is None or other is None or one.shape != other.shape or one.size < 2:
        return ""
    left, found = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    if not (np.isfinite(found).all() and np.isfinite(left).all() and left.std() and found.std()):
        return ""
    slope = float(left @ found / (left @ left))
    if np.corrcoef(left, found)[0, 1] < ALIKE or abs(slope - 1) < 0.02:
        return ""
    return f"; all its numbers are {slope:.4g} times the reference's"
