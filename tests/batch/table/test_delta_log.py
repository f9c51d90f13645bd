"""Our reading of a log is deltalake's, whatever was done to the table; and a version is one writer's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batch.errors import TableRefused
from batch.stores.storage import open_store
from batch.table.delta_log import entry_body, entry_key, is_table, read_snapshot
from tests.batch.places import Folder, Place, put_table, texts
from tests.batch.table.models import CONTRARY
from tests.batch.table.tables import opened, rows, run


def busy_table(folder: Path) -> DeltaTable:
    """A table that was appended to, overwritten, deleted from, compacted, checkpointed and restored."""
    url = str(folder)
    for first in range(0, 30, 10):
        table = pa.table({"id": range(first, first + 10), "k": ["x y", "ü%/"] * 5})
        write_deltalake(url, table, mode="append", partition_by=["k"])
    table = DeltaTable(url)
    table.delete("id < 5")
    table.optimize.compact()
    table.create_checkpoint()
    write_deltalake(url, pa.table({"id": [99], "k": ["z"]}), mode="overwrite")
    table = DeltaTable(url)
    table.restore(2)
    return DeltaTable(url)


def test_every_version_is_read_as_deltalake_reads_it(tmp_path: Path) -> None:
    newest = busy_table(tmp_path).version()
    assert newest >= 5
    store = open_store(str(tmp_path))
    for version in range(newest + 1):
        mine, theirs = read_snapshot(store, version=version), DeltaTable(str(tmp_path), version=version)
        assert mine is not None
        assert {store.url_of(file.key) for file in mine.files.values()} == set(theirs.file_uris())
        assert all((tmp_path / file.key).is_file() for file in mine.files.values())
        assert mine.metadata["id"] == str(theirs.metadata().id)
        assert mine.partition_columns == theirs.metadata().partition_columns
    latest = read_snapshot(store)
    assert latest is not None
    assert latest.version == newest


def test_behind_a_checkpoint_the_entries_before_it_are_not_needed(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    run(folder)
    run(folder, CONTRARY)
    opened(folder).create_checkpoint()
    before = rows(folder)
    for version in (0, 1):
        folder.delete(f"out/_delta_log/{version:020}.json")
    assert run(folder, CONTRARY)["run"]["rows"] == 0
    assert opened(folder).version() == 1
    put_table(folder, "in/b.parquet", texts(10, first=10))
    run(folder, CONTRARY)
    assert opened(folder).version() == 2
    assert rows(folder).slice(0, 10) == before
    assert rows(folder).num_rows == 20


def test_of_many_writers_of_a_version_one_is_told_that_it_is_its_own(place: Place) -> None:
    store = open_store(place.url + "out/")

    def write(number: int) -> bool:
        body = entry_body([{"txn": {"appId": f"writer-{number}", "version": 1}}])
        return store.put_if_absent(entry_key(0), body, attempt=f"writer-{number}")

    with ThreadPoolExecutor(8) as pool:
        first = [number for number, told in enumerate(pool.map(write, range(8))) if told]
    snapshot = read_snapshot(store)
    assert snapshot is not None
    assert list(snapshot.transactions) == [f"writer-{first[0]}"]
    assert len(first) == 1


def test_where_no_log_is_there_is_no_table(place: Place) -> None:
    store = open_store(place.url + "out/")
    assert not is_table(store)
    assert read_snapshot(store) is None
    place.put("out/_delta_log/_last_checkpoint", b"{}")
    assert not is_table(store)


def test_a_gap_in_the_log_is_named(folder: Folder) -> None:
    store = open_store(folder.url + "out/")
    for version in (0, 1, 3):
        store.put_if_absent(entry_key(version), entry_body([{"commitInfo": {}}]), attempt="one")
    with pytest.raises(TableRefused, match="version 3 cannot be put together: entry 2 of its log is gone"):
        read_snapshot(store)
    assert read_snapshot(store, version=1) is not None
