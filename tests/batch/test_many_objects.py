"""Ten thousand small objects, and one of ten gigabytes, are planned from their footers in bounded time and memory."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.columns import JobColumns, job_columns
from batch.plan import make_plan
from batch.spec import make_job
from batch.stores.local_store import LocalStore
from batch.stores.storage import ObjectInfo
from tests.batch.command import ROOT, environment
from tests.batch.own_models import WordCount
from tests.batch.places import WORD_COUNT, Folder, put_table, texts

MIB = 1024 * 1024
FILES = 10_000


class CountingStore(LocalStore):
    """The store, which counts its reads, their bytes, and how many go on at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads = self.read_bytes = self.most_at_once = self._now = 0
        self._lock = threading.Lock()

    def read(self, key: str, *, etag: str | None = None, start: int = 0, stop: int | None = None) -> bytes:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        body = super().read(key, etag=etag, start=start, stop=stop)
        with self._lock:
            self._now -= 1
            self.reads, self.read_bytes = self.reads + 1, self.read_bytes + len(body)
        return body


@pytest.fixture
def columns() -> JobColumns:
    return job_columns(make_job({"model": WORD_COUNT, "input": "in/", "output": "out/"}), WordCount.spec)


def link_files(folder: Path, count: int) -> int:
    """One file under many names; its size."""
    place = Folder(folder)
    put_table(place, "a/000000.parquet", texts(20))
    for number in range(1, count):
        os.link(folder / "a/000000.parquet", folder / f"a/{number:06}.parquet")
    return (folder / "a/000000.parquet").stat().st_size


def large_file(path: Path, *, row_groups: int, apart_bytes: int = MIB) -> int:
    """A Parquet file of so many row groups of ten rows, with a hole after each; the size of its footer."""
    table = texts(10)
    with pa.OSFile(str(path), "wb") as file, pq.ParquetWriter(file, table.schema) as writer:
        for _ in range(row_groups):
            writer.write_table(table)
            os.lseek(file.fileno(), apart_bytes, os.SEEK_CUR)
    with path.open("rb") as written:
        written.seek(-8, os.SEEK_END)
        return int.from_bytes(written.read(4), "little") + 8


def plan_command(source: Path, output: Path) -> tuple[int, str]:
    """`tandem plan` in a process of its own: the most memory that it held, and what it said."""
    words = ["plan", "--model", WORD_COUNT, "--input", f"{source}/", "--output", str(output)]
    with (output.parent / "said").open("w+b") as said:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "batch.cli.main", *words],
            environment({"PYTHONPATH": str(ROOT)}),
            file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)],
        )
        _, status, usage = os.wait4(process, 0)
        said.seek(0)
        text = said.read().decode()
    assert os.waitstatus_to_exitcode(status) == 0, text
    return usage.ru_maxrss * 1024, text


def test_ten_thousand_small_objects_are_a_few_shards_planned_by_a_request_each(
    tmp_path: Path, columns: JobColumns
) -> None:
    size = link_files(tmp_path, FILES)
    store = CountingStore(tmp_path)
    infos = list(store.list())
    plan = make_plan(store, infos, columns, shard_mb=1)
    assert (store.reads, store.read_bytes) == (FILES, FILES * size), "the tail of each is all of so small a file"
    assert 1 < store.most_at_once <= 16
    assert plan.rows == 20 * FILES
    assert len(plan.shards) < FILES / 100
    assert [piece.key for shard in plan.shards for piece in shard.pieces] == [info.key for info in infos]
    assert len(plan.to_bytes()) < 400 * FILES


def test_the_memory_of_planning_hardly_grows_with_the_number_of_objects(tmp_path: Path) -> None:
    for name, count in (("few", 1), ("many", FILES)):
        link_files(tmp_path / name, count)
    with ThreadPoolExecutor(2) as pool:
        folders = [tmp_path / "few", tmp_path / "many"]
        (few, _), (many, said) = pool.map(lambda folder: plan_command(folder / "a", folder / "out"), folders)
    assert "10,000 files, 200,000 rows" in said
    assert many - few < 100 * MIB


def test_an_object_of_ten_gigabytes_is_planned_from_its_footer_alone(tmp_path: Path, columns: JobColumns) -> None:
    footer_bytes = large_file(tmp_path / "large.parquet", row_groups=10_000)
    store = CountingStore(tmp_path)
    (info,) = store.list()
    assert info.size_bytes > 10 * 10**9
    assert (tmp_path / "large.parquet").stat().st_blocks * 512 < 50 * MIB, "a hole, not ten gigabytes"
    plan = make_plan(store, [info], columns, shard_mb=0.1)
    assert (store.reads, store.read_bytes) == (2, footer_bytes + 64 * 1024)
    assert plan.rows == 10_000 * 10
    assert 10 <= len(plan.shards) <= 100
    groups = [group for shard in plan.shards for piece in shard.pieces for group in piece.row_groups]
    assert groups == list(range(10_000))


def test_a_limit_is_found_among_many_row_groups_in_one_pass(tmp_path: Path, columns: JobColumns) -> None:
    large_file(tmp_path / "large.parquet", row_groups=5_000)
    store = CountingStore(tmp_path)
    (info,) = store.list()
    plan = make_plan(store, [info], columns, shard_mb=4096, limit=5_000 * 10 - 1)
    assert (plan.admitted, plan.rows) == (49_999, 49_999)


def test_row_groups_are_cut_where_one_more_would_pass_the_bound(tmp_path: Path, columns: JobColumns) -> None:
    """Over objects of different sizes, one without rows and one without row groups: each is in one shard, in order."""
    place = Folder(tmp_path)
    for key, rows in {"a": 50, "b": 0, "c": 7, "d": 3, "e": 100}.items():
        put_table(place, f"{key}.parquet", texts(rows), row_group_size=10)
    pq.ParquetWriter(tmp_path / "bare.parquet", texts(1).schema).close()
    store = CountingStore(tmp_path)
    infos: list[ObjectInfo] = list(store.list())
    for shard_mb in (0.00001, 0.0006, 0.002, 1):
        plan = make_plan(store, infos, columns, shard_mb=shard_mb)
        found = [(piece.key, group) for shard in plan.shards for piece in shard.pieces for group in piece.row_groups]
        counts = {"a": 5, "b": 1, "c": 1, "d": 1, "e": 10}
        assert found == [(f"{key}.parquet", group) for key, count in counts.items() for group in range(count)]
        assert [piece.key for shard in plan.shards for piece in shard.pieces].count("bare.parquet") == 1
        assert sum(shard.rows for shard in plan.shards) == 160
