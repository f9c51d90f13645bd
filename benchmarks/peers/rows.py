"""Rows in, predictions out, for the sides that have nothing of the sort themselves: plain pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def read_rows(path: str, column: str) -> tuple[pa.Array, list[Any]]:
    """The ids and the values of one column."""
    table = pq.read_table(path, columns=["id", column])
    return table.column("id").combine_chunks(), table.column(column).to_pylist()


def write_embeddings(path: str, ids: pa.Array, embeddings: Any) -> dict[str, Any]:
    """One vector for each id."""
    vectors = np.ascontiguousarray(embeddings, dtype=np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"id": ids, "embedding": column}), path)
    return {"rows": len(ids)}


def write_labels(path: str, ids: pa.Array, labels: Sequence[str], scores: Any) -> dict[str, Any]:
    """The best label of each id and its probability."""
    table = pa.table({"id": ids, "label": pa.array(labels, pa.string()), "score": pa.array(scores, pa.float32())})
    pq.write_table(table, path)
    return {"rows": len(ids)}


def best_labels(logits: Any, names: Sequence[str]) -> tuple[list[str], Any]:
    """Logits, (rows, labels), to the best label and its probability by softmax."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = shifted / shifted.sum(axis=1, keepdims=True)
    best = scores.argmax(axis=1)
    return [names[i] for i in best], scores[np.arange(len(best)), best]


def normalized(vectors: Any) -> Any:
    """Vectors of length one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
