"""Memory is bounded by windows: however many rows a shard has, only a few windows are on their way at once."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from batch.read import WINDOW_BYTES
from batch.run import run_job
from tests.batch.own_models import FarSightedModel
from tests.batch.places import Folder, put_table, read_output, texts

#: Two wait behind encoding and two behind the arithmetic; each of the three threads has one in hand.
WINDOWS = 2 + 2 + 3


@pytest.fixture(autouse=True)
def _counted_anew() -> None:
    FarSightedModel.windows = FarSightedModel.waiting = FarSightedModel.most_waiting = FarSightedModel.most_rows = 0


def run(folder: Folder, **settings: Any) -> int:
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    rows: int = run_job({"model": "tests.batch.own_models:FarSightedModel", **places, **settings})["rows"]
    return rows


def test_no_more_than_a_few_windows_are_on_their_way(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(9_000), row_group_size=2_000)
    put_table(folder, "in/b.parquet", texts(3_000))
    assert run(folder, window_rows=100) == 12_000
    assert 1 < FarSightedModel.most_waiting <= WINDOWS
    assert FarSightedModel.most_rows == 100
    assert FarSightedModel.waiting == 0


def test_the_first_window_of_a_shard_is_small_so_that_the_arithmetic_need_not_wait_for_a_whole_one(
    folder: Folder,
) -> None:
    put_table(folder, "in/a.parquet", texts(3_000))
    assert run(folder, window_rows=1000) == 3_000
    assert FarSightedModel.windows == 6, "128, 256, 512, twice a thousand, and the rest"
    assert FarSightedModel.most_rows == 1000


def test_wide_rows_come_in_smaller_windows(folder: Folder) -> None:
    wide = 4 << 20
    put_table(
        folder, "in/a.parquet", pa.table({"text": [f"{i} " + "x" * wide for i in range(40)]}), use_dictionary=False
    )
    assert run(folder, window_rows=1000) == 40
    assert 1 <= FarSightedModel.most_rows <= WINDOW_BYTES // wide


def test_small_objects_and_sparse_rows_are_gathered_to_windows(folder: Folder) -> None:
    for number in range(40):
        put_table(folder, f"in/{number:02}.parquet", texts(20, first=20 * number), row_group_size=7)
    assert run(folder, window_rows=100) == 800
    assert FarSightedModel.windows <= 10
    assert FarSightedModel.most_rows <= 100
    assert read_output(folder)["id"].to_pylist() == list(range(800))
    FarSightedModel.windows = 0
    assert run(folder, window_rows=100, output=folder.url + "some/", where="id < 3 OR id > 796 OR id = 400") == 7
    assert FarSightedModel.windows == 1
