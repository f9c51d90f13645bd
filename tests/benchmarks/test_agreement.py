"""Do two sides give the same answers?"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.agreement import agreement, is_faithful, read_predictions, verdict

VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def embeddings(ids: list[int], vectors: Any) -> pa.Table:
    flat = pa.array(np.asarray(vectors, np.float32).reshape(-1))
    return pa.table({"id": ids, "embedding": pa.FixedSizeListArray.from_arrays(flat, 4)})


def labels(found: list[str], score: float = 0.5) -> pa.Table:
    return pa.table(
        {"id": list(range(len(found))), "label": found, "score": pa.array([score] * len(found), pa.float32())}
    )


def test_answers_in_another_order_and_in_parts_are_compared_by_id(tmp_path: Path) -> None:
    for number, rows in enumerate(([5, 0, 2], [4, 1, 3])):
        pq.write_table(embeddings(rows, VECTORS[rows]), tmp_path / f"part-{number}.parquet")
    found = agreement(read_predictions(tmp_path), embeddings(list(range(6)), VECTORS))
    assert found["largest"] == 0
    assert verdict(found).startswith("same")


def test_answers_that_were_given_to_another_row_differ() -> None:
    shifted = agreement(embeddings(list(range(6)), np.roll(VECTORS, 1, axis=0)), embeddings(list(range(6)), VECTORS))
    assert "**differs" in verdict(shifted)
    assert not is_faithful(shifted, int8=True)


def test_int8_is_judged_by_its_mean_cosine_and_fp32_by_its_largest_difference() -> None:
    near = agreement(embeddings(list(range(6)), VECTORS + np.float32(0.01)), embeddings(list(range(6)), VECTORS))
    assert near["cosine_mean"] > 0.99
    assert is_faithful(near, int8=True)
    assert not is_faithful(near, int8=False)


def test_rows_without_an_answer_are_named() -> None:
    reference = embeddings(list(range(6)), VECTORS)
    assert verdict(agreement(reference.slice(1), reference)) == "**rows differ: 1 missing, 0 strange**"
    gone = labels(["a", "b"]).set_column(1, "label", pa.array(["a", None]))
    assert verdict(agreement(gone, labels(["a", "b"]))) == "**rows differ: 1 missing, 0 strange**"


def test_labels_are_compared_by_how_many_are_equal() -> None:
    found = agreement(labels(["a", "b", "a", "c"], 0.75), labels(["a", "b", "a", "b"]))
    assert (found["labels"], found["largest"]) == (0.75, 0.25)
    assert verdict(found) == "75.0% same labels"
