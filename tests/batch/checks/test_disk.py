"""Disk: a part that will not fit is foreseen before a model is loaded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from tests.batch.command import Command, assert_refused
from tests.batch.places import Folder, Place, put_table


class Usage(NamedTuple):
    """As shutil says it."""

    total: int
    used: int
    free: int


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Make a folder's disk one with so many bytes free: a test cannot fill the machine's."""

    def fill(folder: Path, free: int) -> None:
        ask = shutil.disk_usage

        def disk_usage(path: Path) -> Usage:
            inside = Path(path) == folder or folder in Path(path).parents
            return Usage(free, 0, free) if inside else Usage(*ask(path))

        monkeypatch.setattr(shutil, "disk_usage", disk_usage)

    return fill


def fill_in(place: Place, rows: int = 400) -> None:
    noise = [os.urandom(1000) for _ in range(rows)]
    put_table(place, "in/a.parquet", pa.table({"steps": [[[0.5] * 12] * 3] * rows, "kept": pa.array(noise)}))


def run(place: Place, command: Command, model: str, *more: str, word: str = "run") -> object:
    return command(word, "--model", model, "--input", place.url + "in/", "--output", place.url + "out/", *more)


@pytest.mark.parametrize("word", ["run", "plan"])
def test_a_full_disk_is_named_before_the_model_is_loaded(
    place: Place, command: Command, unloadable: str, full: Callable[[Path, int], None], word: str
) -> None:
    fill_in(place)
    temporary = Path(tempfile.gettempdir())
    full(temporary, 50_000)
    end = command(word, "--model", unloadable, "--input", place.url + "in/", "--output", place.url + "out/")
    assert_refused(end, 75, f"cannot write {temporary}", "0.1 MB are free", "0.1 MB or more", "TMPDIR")
    assert not [key for key in place.etags("out/") if "job.json" in key]


def test_room_enough_is_not_refused_nor_what_is_left_out(
    folder: Folder, command: Command, vowels: Path, full: Callable[[Path, int], None]
) -> None:
    fill_in(folder)
    full(Path(tempfile.gettempdir()), 150_000)
    words = ("run", "--model", str(vowels), "--input", folder.url + "in/", "--output")
    assert command(*words, folder.url + "out/").code == 0
    full(Path(tempfile.gettempdir()), 60_000)
    assert command(*words, folder.url + "bare/", "--keep", "", "--limit", "20").code == 0


def test_the_disk_of_the_output_counts_too(
    folder: Folder, command: Command, unloadable: str, full: Callable[[Path, int], None]
) -> None:
    fill_in(folder)
    full(folder.folder / "out", 50_000)
    words = ("--model", unloadable, "--input", folder.url + "in/", "--output", folder.url + "out/")
    (folder.folder / "out").mkdir()
    assert_refused(command("run", *words), 75, f"cannot write {folder.url}out", "choose another --output")


def test_without_any_folder_for_temporary_files_a_job_is_refused(
    folder: Folder, command: Command, unloadable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_in(folder)

    def none_usable() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    words = ("--model", unloadable, "--input", folder.url + "in/", "--output", folder.url + "out/")
    assert_refused(command("run", *words), 2, "No usable temporary directory", "TMPDIR")
