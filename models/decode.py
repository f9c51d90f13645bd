"""Answers of the arithmetic -> named columns, the same for every family and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.errors import SpecInvalid
from models.model import Encoded, Options, Outputs, RowFault
from models.spec import ERROR_TYPE, ModelSpec

#: Of a row whose answer is no number.
NON_FINITE = RowFault(kind="NonFiniteOutput", message="the model's answer holds NaN or infinity")


def decode_outputs(spec: ModelSpec, options: Options, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
    """Turn logits or vectors into one row of columns for each row of `encoded`.

    A row is an error row where encoding or arithmetic said so, or where its answer is not finite. The chunks of one
    long text are averaged, weighted by their lengths.

    Returns:
        A batch with the schema of `spec.output_fields`.

    Raises:
        SpecInvalid: the arithmetic answers another number of numbers than the spec has labels or dimensions.
    """
    faults = dict(encoded.faults)
    for piece, fault in outputs.faults.items():
        faults[int(encoded.piece_rows[piece])] = fault
    raw = next(iter(outputs.arrays.values()), np.zeros((len(encoded.piece_rows), width(spec)), np.float32))
    if raw.ndim != 2 or raw.shape[1] != width(spec):
        shape = " x ".join(["rows", *map(str, raw.shape[1:])])
        raise SpecInvalid(
            spec.name,
            f"its arithmetic answers {shape}, and its spec asks for rows x {width(spec)}",
            remedy="Mend labels (or dimension) in tandem.yaml.",
        )
    answers = average_chunks(activate(spec, raw), encoded)
    if not np.isfinite(answers).all():
        for row in np.flatnonzero(~np.isfinite(answers).all(axis=1)):
            if row not in faults:
                faults[int(row)] = NON_FINITE
    bad: NDArray[np.bool_] | None = None
    if faults:
        bad = np.zeros(encoded.rows, dtype=np.bool_)
        bad[list(faults)] = True
        answers = np.where(bad[:, None], 0, answers)
    if spec.task == "text-embedding":
        columns = [embedding_column(spec, answers, bad)]
    elif spec.task == "text-multi-label-classification":
        columns = [labels_column(spec, answers, bad), scores_column(spec, options, answers, bad)]
    else:
        best = answers.argmax(axis=1) if len(answers) else np.zeros(0, np.int64)
        columns = [
            pa.array(spec.labels, pa.string()).take(pa.array(best, mask=bad)),
            pa.array(answers[np.arange(len(answers)), best].astype(np.float32), mask=bad),
            scores_column(spec, options, answers, bad),
        ]
    columns += [pa.array(encoded.truncated), error_column(encoded.rows, faults)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(spec.output_fields))


def width(spec: ModelSpec) -> int:
    """How many numbers the arithmetic returns for a piece."""
    return spec.dimension or len(spec.labels)


def activate(spec: ModelSpec, raw: NDArray[Any]) -> NDArray[Any]:
    """Logits to probabilities, in double; vectors stay as they are."""
    if spec.task == "text-embedding":
        return raw
    if spec.task == "text-multi-label-classification":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * raw.astype(np.float64))))
    # A label a line: over a few labels of many rows, numpy is several times as fast down as across.
    by_label = np.ascontiguousarray(raw.T, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = np.exp(by_label - by_label.max(axis=0))
        return np.ascontiguousarray((shifted / shifted.sum(axis=0)).T)


def average_chunks(answers: NDArray[Any], encoded: Encoded) -> NDArray[Any]:
    """Answers of pieces to answers of rows, shape (rows, width); zeros where a row has no piece.

    Where every row is one piece, which is the rule, these are the same and nothing is copied.
    """
    pieces = encoded.piece_rows
    is_one_each = bool((pieces[1:] > pieces[:-1]).all())
    if is_one_each and len(pieces) == encoded.rows:
        return answers
    if is_one_each:
        spread = np.zeros((encoded.rows, answers.shape[1]), answers.dtype)
        spread[pieces] = answers
        return spread
    totals = np.zeros((encoded.rows, answers.shape[1]))
    weights = np.zeros(encoded.rows)
    np.add.at(totals, pieces, answers * encoded.lengths[:, None])
    np.add.at(weights, pieces, encoded.lengths)
    return np.asarray(totals / np.maximum(weights, 1)[:, None])


def embedding_column(spec: ModelSpec, answers: NDArray[Any], bad: NDArray[np.bool_] | None) -> pa.Array:
    """Vectors; the numbers are not copied unless they are to be normalised, or are no floats of 32 bits."""
    if spec.normalize:
        answers = answers.astype(np.float64)
        answers = answers / np.maximum(np.linalg.norm(answers, axis=1, keepdims=True), 1e-12)
    flat = pa.array(np.ascontiguousarray(answers, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, spec.dimension, mask=None if bad is None else pa.array(bad))


def labels_column(spec: ModelSpec, answers: NDArray[Any], bad: NDArray[np.bool_] | None) -> pa.Array:
    """The labels of each row from the spec's threshold on, in the spec's order."""
    chosen = answers >= spec.threshold
    if bad is not None:
        chosen &= ~bad[:, None]
    names = pa.array(spec.labels, pa.string()).take(pa.array(np.nonzero(chosen)[1]))
    mask = None if bad is None else pa.array(bad)
    return pa.ListArray.from_arrays(offsets_of(chosen.sum(axis=1)), names, mask=mask)


def scores_kept(spec: ModelSpec, top_k: int | None) -> int:
    """How many scores of a row are kept."""
    return min(top_k or (len(spec.labels) if len(spec.labels) <= 20 else 5), len(spec.labels))


def scores_column(spec: ModelSpec, options: Options, answers: NDArray[Any], bad: NDArray[np.bool_] | None) -> pa.Array:
    """The best scores of each row by label, best first."""
    keep = scores_kept(spec, options.top_k)
    order = np.argsort(-answers, axis=1, kind="stable")[:, :keep]
    scores = answers[np.arange(len(answers))[:, None], order].astype(np.float32)
    sizes = np.full(len(answers), keep)
    if bad is not None:
        order, scores, sizes = order[~bad], scores[~bad], np.where(bad, 0, keep)
    keys = pa.array(spec.labels, pa.string()).take(pa.array(order.reshape(-1)))
    mask = None if bad is None else pa.array(bad)
    return pa.MapArray.from_arrays(offsets_of(sizes), keys, pa.array(scores.reshape(-1)), mask=mask)


def offsets_of(sizes: NDArray[Any]) -> pa.Array:
    """Where each row of a list column begins, and where the last ends."""
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.array(offsets)


def error_column(rows: int, faults: Mapping[int, RowFault]) -> pa.Array:
    """What is wrong with each row; null where nothing is."""
    if not faults:
        return pa.nulls(rows, ERROR_TYPE)
    which = np.zeros(rows, np.int64)
    good = np.ones(rows, np.bool_)
    which[list(faults)] = np.arange(len(faults))
    good[list(faults)] = False
    found = [{"class": one.kind, "message": one.message, "attempts": one.attempts} for one in faults.values()]
    return pa.array(found, ERROR_TYPE).take(pa.array(which, mask=good))
