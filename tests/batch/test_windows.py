"""Windows: rows of small row groups and of several objects go through the model together."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.read import gather_windows
from batch.run import run_job

MIB = 1 << 20


def numbered(*sizes: int, width: int = 0) -> list[pa.RecordBatch]:
    """Batches of so many rows, each with its number and a text of `width`."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        pa.RecordBatch.from_pydict({"n": list(range(start, start + size)), "text": ["x" * width] * size})
        for start, size in zip(starts, sizes, strict=True)
    ]


def numbers(windows: list[pa.RecordBatch]) -> list[int]:
    return [n for window in windows for n in window.column("n").to_pylist()]


def test_small_batches_are_joined_up_to_the_window_and_keep_their_order() -> None:
    windows = list(gather_windows(numbered(*[3] * 10), window_rows=10, first_rows=10, window_bytes=MIB))
    assert [window.num_rows for window in windows] == [10, 10, 10]
    assert numbers(windows) == list(range(30))


def test_large_batches_are_cut_into_windows_that_begin_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pa, "concat_batches", None)  # what is only cut is not copied
    windows = list(gather_windows(numbered(100), window_rows=32, first_rows=8, window_bytes=MIB))
    assert [window.num_rows for window in windows] == [8, 16, 32, 32, 12]
    assert numbers(windows) == list(range(100))


def test_a_window_ends_at_its_bytes_however_uneven_its_rows_are() -> None:
    wide = numbered(40, width=1_000)
    batches = [*wide, *numbered(40), *wide, *numbered(1, width=9_000), *numbered(7)]
    windows = list(gather_windows(batches, window_rows=50, first_rows=50, window_bytes=8_000))
    assert all(window.nbytes <= 8_000 or window.num_rows == 1 for window in windows)
    assert numbers(windows) == [n for batch in batches for n in batch.column("n").to_pylist()]
    assert len(windows) <= 25


def test_dictionaries_of_two_objects_become_one(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    (tmp_path / "in").mkdir()
    for name, desks in (("a", ["x", "y"]), ("b", ["z", "x"])):
        table = pa.table({"text": ["goal", "match"], "desk": pa.array(desks).cast(kind)})
        pq.write_table(table, tmp_path / f"in/{name}.parquet")
    manifest = run_job({"model": "bbc-bert", "input": str(tmp_path / "in"), "output": str(tmp_path / "out")})
    part = pq.read_table(tmp_path / "out" / manifest["parts"][0]["key"])
    assert part.column("desk").to_pylist() == ["x", "y", "z", "x"]


def test_row_groups_of_two_rows_still_share_micro_batches(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    texts = [f"the match number {number} was won" for number in range(64)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "in/a.parquet", row_group_size=2)
    manifest = run_job({"model": "bbc-bert", "input": str(tmp_path / "in"), "output": str(tmp_path / "out")})
    assert manifest["run"]["micro_batches"] <= 2
