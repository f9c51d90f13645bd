"""What only a folder can do wrong."""

import os
import time
from pathlib import Path

import pytest

from batch.errors import InputNotFound, UsageError
from batch.stores.local_store import LocalStore


def test_an_overwrite_in_place_changes_the_etag(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "x").write_bytes(b"first")
    before = next(store.list())
    os.utime(tmp_path / "x", ns=(0, 1))
    assert next(store.list()).etag != before.etag


def test_nothing_but_the_object_is_seen_or_left(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a/x", b"first", attempt="one")
    store.put_if_absent("a/x", b"second", attempt="two")
    assert [info.key for info in store.list()] == ["a/x"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x"]


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    left = tmp_path / "_tandem" / ".tmp" / "left"
    fresh = left.with_name("fresh")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    fresh.write_bytes(b"another process writes this now")
    os.utime(left, (time.time() - 90_000, time.time() - 90_000))
    LocalStore(tmp_path).put_if_absent("x", b"first", attempt="one")
    assert not left.exists()
    assert fresh.exists()


def test_linked_folders_are_listed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_bytes(b"x")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "circle").symlink_to(tmp_path / "root")
    assert [info.key for info in LocalStore(tmp_path / "root").list()] == ["linked/x"]


def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leaves the folder"):
        LocalStore(tmp_path / "root").put_if_absent("../x", b"", attempt="one")
    assert not (tmp_path / "x").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(UsageError, match=r"cannot write .*/out/a/x: "):
        LocalStore(tmp_path / "out").put_if_absent("a/x", b"", attempt="one")


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert LocalStore(tmp_path).head("a") is None
    with pytest.raises(InputNotFound):
        LocalStore(tmp_path).read("a")
