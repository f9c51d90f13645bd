"""Do two sides give the same answers? Predictions on disk, joined by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

#: Embeddings of one precision differ by rounding only.
SAME, INT8_COSINE = 1e-4, 0.99


def read_predictions(path: Path) -> pa.Table:
    """One file, or a folder of parts; ordered by id."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    table = ds.dataset([str(file) for file in files], format="parquet").to_table()
    return table.sort_by("id")


def agreement(found: pa.Table, reference: pa.Table) -> dict[str, Any]:
    """Compare answers: vectors by cosine and largest difference, labels by how many are equal.

    Returns:
        `rows`; and `cosine_mean`, `cosine_least`, `largest` for embeddings, or `labels` (share equal) and
        `largest` (of the scores, where the labels are equal). `missing` where rows have no answer, or the ids differ.
    """
    if found.column("id").to_pylist() != reference.column("id").to_pylist():
        ids, wanted = set(found.column("id").to_pylist()), set(reference.column("id").to_pylist())
        return {"rows": found.num_rows, "missing": len(wanted - ids), "strange": len(ids - wanted)}
    if nulls := found.column("embedding" if "embedding" in reference.column_names else "label").null_count:
        return {"rows": found.num_rows, "missing": nulls, "strange": 0}
    if "embedding" in reference.column_names:
        ours, theirs = vectors(found), vectors(reference)
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        cosine = (ours * theirs).sum(axis=1) / np.maximum(norms, 1e-12)
        return {
            "rows": found.num_rows,
            "cosine_mean": float(cosine.mean()),
            "cosine_least": float(cosine.min()),
            "largest": float(np.abs(ours - theirs).max()),
        }
    labels = np.array(found.column("label").to_pylist()) == np.array(reference.column("label").to_pylist())
    scores = np.abs(found.column("score").to_numpy() - reference.column("score").to_numpy())
    return {
        "rows": found.num_rows,
        "labels": float(labels.mean()),
        "largest": float(scores[labels].max()) if labels.any() else None,
    }


def verdict(found: dict[str, Any]) -> str:
    """One word or two for the table: the same, int8's, or what differs."""
    if "missing" in found:
        return f"**rows differ: {found['missing']} missing, {found['strange']} strange**"
    if "labels" in found:
        return "same labels" if found["labels"] == 1 else f"{found['labels']:.1%} same labels"
    if found["largest"] <= SAME:
        return f"same (to {found['largest']:.0e})"
    cosine = f"cosine {found['cosine_mean']:.4f}, least {found['cosine_least']:.3f}"
    return cosine if found["cosine_mean"] >= INT8_COSINE else f"**differs: {cosine}**"


def is_faithful(found: dict[str, Any] | None, *, int8: bool) -> bool:
    """Whether a speed counts: the answers are the same, or at int8 as near as its tolerance allows."""
    if not found:
        return True
    if "missing" in found:
        return False
    if "labels" in found:
        return bool(found["labels"] >= (INT8_COSINE if int8 else 1))
    return bool(found["cosine_mean"] >= INT8_COSINE if int8 else found["largest"] <= SAME)


def vectors(table: pa.Table) -> Any:
    """Embeddings as (rows, dimension)."""
    column = table.column("embedding").combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(table.num_rows, -1)
