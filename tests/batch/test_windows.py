"""Windows: rows of small row groups and of several objects go through the model together."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.read import gather_windows
from batch.run import run_job


def test_small_batches_are_joined_up_to_the_window_and_keep_their_order() -> None:
    batches = [pa.RecordBatch.from_pydict({"n": [i * 3, i * 3 + 1, i * 3 + 2]}) for i in range(10)]
    windows = list(gather_windows(batches, window_rows=10))
    assert [window.num_rows for window in windows] == [9, 9, 9, 3]
    assert [n for window in windows for n in window.column("n").to_pylist()] == list(range(30))


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
