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
    answers = average_chunks(activate(spec, raw.astype(np.float64)), encoded)
    for row in np.flatnonzero(~np.isfinite(answers).all(axis=1)):
        if row not in faults:
            faults[int(row)] = RowFault(kind="NonFiniteOutput", message="the model's answer holds NaN or infinity")
    bad = np.zeros(encoded.rows, dtype=np.bool_)
    bad[list(faults)] = True
    answers[bad] = 0.0
    if spec.task == "text-embedding":
        columns = [embedding_column(spec, answers, bad)]
    elif spec.task == "text-multi-label-classification":
        columns = [labels_column(spec, answers, bad), scores_column(spec, options, answers, bad)]
    else:
        best = answers.argmax(axis=1) if len(answers) else np.zeros(0, np.int64)
        names = pa.array(spec.labels, pa.string()).take(pa.array(best))
        columns = [
            pa.array(names.to_numpy(zero_copy_only=False), pa.string(), mask=bad),
            pa.array(answers[np.arange(len(answers)), best].astype(np.float32), pa.float32(), mask=bad),
            scores_column(spec, options, answers, bad),
        ]
    columns += [pa.array(encoded.truncated, pa.bool_()), error_column(encoded.rows, faults)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(spec.output_fields))


def width(spec: ModelSpec) -> int:
    """How many numbers the arithmetic returns for a piece."""
    return spec.dimension or len(spec.labels)


def activate(spec: ModelSpec, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits to probabilities; vectors stay as they are."""
    if spec.task == "text-embedding":
        return raw
    if spec.task == "text-multi-label-classification":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * raw)))
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def average_chunks(answers: NDArray[np.float64], encoded: Encoded) -> NDArray[np.float64]:
    """Answers of pieces to answers of rows, shape (rows, width); zeros where a row has no piece."""
    totals = np.zeros((encoded.rows, answers.shape[1]))
    if len(np.unique(encoded.piece_rows)) == len(encoded.piece_rows):
        totals[encoded.piece_rows] = answers
        return totals
    weights = np.zeros(encoded.rows)
    np.add.at(totals, encoded.piece_rows, answers * encoded.lengths[:, None])
    np.add.at(weights, encoded.piece_rows, encoded.lengths)
    return np.asarray(totals / np.maximum(weights, 1)[:, None])


def embedding_column(spec: ModelSpec, answers: NDArray[np.float64], bad: NDArray[np.bool_]) -> pa.Array:
    if spec.normalize:
        answers = answers / np.maximum(np.linalg.norm(answers, axis=1, keepdims=True), 1e-12)
    flat = pa.array(answers.astype(np.float32).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, spec.dimension, mask=pa.array(bad))


def labels_column(spec: ModelSpec, answers: NDArray[np.float64], bad: NDArray[np.bool_]) -> pa.Array:
    chosen = [
        None if wrong else [spec.labels[i] for i in np.flatnonzero(row >= spec.threshold)]
        for row, wrong in zip(answers, bad, strict=True)
    ]
    return pa.array(chosen, pa.list_(pa.string()))


def scores_column(spec: ModelSpec, options: Options, answers: NDArray[np.float64], bad: NDArray[np.bool_]) -> pa.Array:
    """The best scores of each row by label, best first."""
    keep = min(options.top_k or (len(spec.labels) if len(spec.labels) <= 20 else 5), len(spec.labels))
    order = np.argsort(-answers, axis=1, kind="stable")[:, :keep]
    good = ~bad
    sizes = np.where(good, keep, 0)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    keys = pa.array(spec.labels, pa.string()).take(pa.array(order[good].reshape(-1)))
    items = pa.array(np.take_along_axis(answers, order, axis=1)[good].reshape(-1).astype(np.float32))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, items, mask=pa.array(bad))


def error_column(rows: int, faults: Mapping[int, RowFault]) -> pa.Array:
    errors: list[dict[str, Any] | None] = [None] * rows
    for row, fault in faults.items():
        errors[row] = {"class": fault.kind, "message": fault.message, "attempts": fault.attempts}
    return pa.array(errors, ERROR_TYPE)
