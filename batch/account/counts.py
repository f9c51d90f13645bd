"""Counts: labels, scores and lengths of a window, counted by the step that names its answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch.account.histogram import SCORE_CLASSES, count_lengths, count_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a part's footer counts of answers, of one window.

    Attributes:
        labels: predicted label -> rows, of all labels where a row has several.
        scores: shape (SCORE_CLASSES,), rows in each class of scores.
        lengths: lower end of a class of lengths -> pieces.
    """

    labels: Counter[str]
    scores: NDArray[np.int64]
    lengths: Counter[int]


def count_answers(predictions: pa.RecordBatch, lengths: NDArray[np.int64]) -> Counts:
    """Count one window; the writer, which everything waits for where a model is cheap, only adds up."""
    names = predictions.schema.names
    labels: Counter[str] = Counter()
    if "label" in names:
        labels.update(count_values(predictions.column("label")))
    if "labels" in names:
        labels.update(count_values(predictions.column("labels").flatten()))
    scores = count_scores(predictions.column("score")) if "score" in names else np.zeros(SCORE_CLASSES, np.int64)
    return Counts(labels=labels, scores=scores, lengths=count_lengths(lengths))


def count_values(values: pa.Array) -> dict[str, int]:
    """Value -> rows; nulls count nowhere."""
    counted = values.drop_null().value_counts()
    names, rows = counted.field(0).to_pylist(), counted.field(1).to_pylist()
    return {str(name): count for name, count in zip(names, rows, strict=True)}
