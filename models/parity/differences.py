"""How far answers are apart, all rows of a column at once: `models.compare.answer_distance` without Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.compare import FAR, value_distance

Floats = NDArray[np.float64]


def row_differences(one: pa.RecordBatch, other: pa.RecordBatch) -> tuple[Floats, Floats]:
    """Compare two batches of answers without error rows.

    Returns:
        For each row the largest difference between its numbers, and between its answers: numbers, labels and all.
    """
    numbers, answers = np.zeros(one.num_rows), np.zeros(one.num_rows)
    names = set(one.schema.names) - {"error"}
    if "scores" in names and all(pa.types.is_map(batch.schema.field("scores").type) for batch in (one, other)):
        labels = all_labels(one, other)
        scores = dense_scores(one.column("scores"), labels), dense_scores(other.column("scores"), labels)
        numbers = score_differences(*scores)
        for name in {"label", "labels"} & names:
            measure = label_swaps if name == "label" else label_changes
            answers = np.maximum(answers, measure(one.column(name), other.column(name), *scores, labels))
        names -= {"scores", "label", "labels"}
    for name in names:
        left, right = one.column(name), other.column(name)
        if left.type == right.type and (pa.types.is_floating(left.type) or is_vector(left.type)):
            numbers = np.maximum(numbers, float_differences(left, right))
        else:
            answers = np.maximum(answers, other_differences(left, right))
    return numbers, np.maximum(numbers, answers)


def float_differences(one: pa.Array, other: pa.Array) -> Floats:
    """The largest difference in each row of a column of numbers, or of vectors of one length."""
    left, right = to_numbers(one), to_numbers(other)
    with np.errstate(invalid="ignore"):
        apart = np.abs(left - right)
    apart[(left == right) | (np.isnan(left) & np.isnan(right))] = 0.0
    apart[np.isnan(apart)] = FAR
    return np.asarray(apart.max(axis=1, initial=0.0))


def to_numbers(column: pa.Array) -> Floats:
    """Shape (rows, numbers of a row), in double; a null is NaN."""
    if not is_vector(column.type):
        return np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False)).reshape(-1, 1)
    rows = np.full((len(column), column.type.list_size), np.nan)
    numbers = column.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    rows[column.is_valid().to_numpy(zero_copy_only=False)] = numbers.reshape(-1, column.type.list_size)
    return rows


def is_vector(kind: pa.DataType) -> bool:
    """Whether a type is that of vectors of one length."""
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def other_differences(one: pa.Array, other: pa.Array) -> Floats:
    """Words, flags and whole numbers are equal or FAR; what an operator's class answers besides is looked at by row."""
    if one.type == other.type and (pa.types.is_primitive(one.type) or pa.types.is_string(one.type)):
        return np.where(are_equal(one, other), 0.0, FAR)
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return np.asarray([value_distance(left, right) for left, right in pairs], dtype=np.float64)


def are_equal(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Where two columns hold the same; null is equal to null."""
    same = pc.fill_null(pc.equal(one, other), False).to_numpy(zero_copy_only=False)
    nulls = [column.is_null().to_numpy(zero_copy_only=False) for column in (one, other)]
    return np.asarray(same | (nulls[0] & nulls[1]))


def all_labels(one: pa.RecordBatch, other: pa.RecordBatch) -> pa.Array:
    """Every label that either answers with, so that one named otherwise is not lost."""
    found = []
    for batch in (one, other):
        found.append(batch.column("scores").keys)
        for name in {"label", "labels"} & set(batch.schema.names):
            column = batch.column(name)
            found.append(column.flatten() if pa.types.is_list(column.type) else column)
    return pc.unique(pa.chunked_array([column.cast(pa.string()) for column in found])).drop_null()


def places_of(words: pa.Array, labels: pa.Array) -> NDArray[np.int64]:
    """Where each word stands among the labels; -1 for null."""
    places = pc.fill_null(pc.index_in(words, value_set=labels), -1)
    return np.asarray(places.to_numpy(zero_copy_only=False), dtype=np.int64)


def dense_scores(column: Any, labels: pa.Array) -> Floats:
    """Scores by label, (rows, labels); NaN where a row does not have the label."""
    offsets = column.offsets.to_numpy()
    start, count = offsets[0], offsets[-1] - offsets[0]
    row_of = np.repeat(np.arange(len(column)), np.diff(offsets))
    dense = np.full((len(column), len(labels)), np.nan)
    scores = column.items.slice(start, count).cast(pa.float64()).to_numpy(zero_copy_only=False)
    dense[row_of, places_of(column.keys.slice(start, count), labels)] = scores
    return dense


def score_differences(one: Floats, other: Floats) -> Floats:
    """Each row's largest. A score that only one has (the best are kept) is as far as it is above the other's least."""
    has, had = ~np.isnan(one), ~np.isnan(other)
    least, lowest = (np.nanmin(scores, axis=1, initial=np.inf, keepdims=True) for scores in (one, other))
    apart = np.zeros(one.shape)
    np.copyto(apart, np.abs(one - other), where=has & had)
    np.copyto(apart, one - lowest, where=has & ~had)
    np.copyto(apart, other - least, where=had & ~has)
    found = apart.max(axis=1, initial=0.0)
    found[has.sum(axis=1) != had.sum(axis=1)] = FAR
    return np.asarray(found)


def label_swaps(one: pa.Array, other: pa.Array, scores: Floats, _: Floats, labels: pa.Array) -> Floats:
    """Of two labels for one row: half of how far they are apart in `scores`, since each has to move half of it."""
    first, second = places_of(one, labels), places_of(other, labels)
    apart = np.full(len(one), FAR)
    both = (first >= 0) & (second >= 0)
    row = np.flatnonzero(both)
    apart[row] = np.nan_to_num(np.abs(scores[row, first[row]] - scores[row, second[row]]) / 2, nan=FAR)
    apart[first == second] = 0.0
    return apart


def label_changes(one: pa.Array, other: pa.Array, scores: Floats, others: Floats, labels: pa.Array) -> Floats:
    """Of two sets of labels for one row: how far the score of a label moved that only one of them has."""
    changed = label_sets(one, labels) != label_sets(other, labels)
    apart = np.zeros(scores.shape)
    np.copyto(apart, np.nan_to_num(np.abs(scores - others), nan=FAR), where=changed)
    return np.asarray(apart.max(axis=1, initial=0.0))


def label_sets(column: pa.Array, labels: pa.Array) -> NDArray[np.bool_]:
    """Shape (rows, labels): which labels each row has."""
    chosen = np.zeros((len(column), len(labels)), dtype=np.bool_)
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    chosen[np.repeat(np.arange(len(column)), sizes), places_of(column.flatten(), labels)] = True
    return chosen
