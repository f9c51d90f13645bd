"""Answers that are kept over a worker's death are the very answers, up to where it died."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batch.predict import PredictedRows, Spent
from batch.supervise.kept import Kept, skip_rows
from models.spec import ERROR_TYPE
from models.window import WindowStats


def window(first: int, rows: int) -> PredictedRows:
    source = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [f"file-{first}"])
    numbers = pa.array(range(first, first + rows))
    answers = pa.RecordBatch.from_arrays(
        [
            pa.array([f"label {n}" for n in range(rows)]),
            pa.array([None] * (rows - 1) + [{"class": "ValueError", "message": "no", "attempts": 1}], ERROR_TYPE),
        ],
        ["label", "error"],
    )
    rows_of = pa.RecordBatch.from_arrays([source, numbers, numbers], ["tandem:_source", "tandem:_row", "label"])
    stats, lengths = WindowStats(rows=rows, forward_s=0.5), np.arange(rows, dtype=np.int64)
    return PredictedRows(rows=rows_of, predictions=answers, stats=stats, spent=Spent(), lengths=lengths)


def same(left: PredictedRows, right: PredictedRows) -> bool:
    return (
        left.rows.to_pylist() == right.rows.to_pylist()
        and left.rows.schema == right.rows.schema
        and left.predictions.equals(right.predictions)
        and left.stats == right.stats
        and left.lengths.tolist() == right.lengths.tolist()
    )


@pytest.fixture
def windows() -> list[PredictedRows]:
    return [window(0, 128), window(128, 256), window(384, 5)]


def test_what_was_kept_is_recalled(tmp_path: Path, windows: list[PredictedRows]) -> None:
    first = Kept(before=None, now=tmp_path / "1")
    assert first.rows == 0
    assert all(same(left, right) for left, right in zip(first.keep(windows), windows, strict=True))
    second = Kept(before=tmp_path / "1", now=tmp_path / "2")
    assert second.rows == 389
    assert all(same(left, right) for left, right in zip(second.recall(), windows, strict=True))


def test_of_a_writer_that_was_killed_whole_windows_are_recalled(tmp_path: Path, windows: list[PredictedRows]) -> None:
    for _ in Kept(before=None, now=tmp_path / "1").keep(windows):
        pass
    whole = (tmp_path / "1").read_bytes()
    seen = set()
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "1").write_bytes(whole[:size])
        rows = Kept(before=tmp_path / "1", now=tmp_path / "2").rows
        assert rows in (0, 128, 384, 389)
        seen.add(rows)
    assert len(seen) > 2


def test_rows_are_kept_before_whoever_takes_them_is_served(tmp_path: Path, windows: list[PredictedRows]) -> None:
    keeping = Kept(before=None, now=tmp_path / "1").keep(windows)
    next(keeping)
    next(keeping)
    assert Kept(before=tmp_path / "1", now=tmp_path / "2").rows == 384


@pytest.mark.parametrize("answered", [0, 1, 128, 200, 384, 389])
def test_rows_that_are_answered_are_not_read_again(windows: list[PredictedRows], answered: int) -> None:
    left = [n for batch in skip_rows([each.rows for each in windows], answered) for n in batch["label"].to_pylist()]
    assert left == list(range(answered, 389))
