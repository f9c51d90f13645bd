"""Jobs over rows that hurt: made, run, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow as pa

from batch.amounts import counted
from batch.report import Manifest
from batch.run import run_job
from tests.batch.command import Ended, tandem
from tests.batch.places import Folder, put_table, read_output

KINDS = {
    "raises": "ValueError",
    "hangs": "RowHung",
    "segfaults": "WorkerDied",
    "exits": "WorkerDied",
    "hogs": "OutOfMemory",
    "breaks the device": "DeviceFailed",
}


#: Processes are started again and again; on a busy machine each takes seconds.
PATIENCE_S = 400.0


def finished(*words: str) -> Ended:
    """Run a command to its end."""
    return tandem(*words, within_s=PATIENCE_S)


def put_rows(folder: Folder, rows: int, hurting: dict[int, str], *, files: int = 1, row_group_size: int = 1024) -> None:
    """Rows `0 is fine`, `1 is fine`, ..., but for some; in several files of as many rows each."""
    texts = [f"{number} {hurting.get(number, 'is fine')}" for number in range(rows)]
    each = rows // files
    for file in range(files):
        part = slice(file * each, (file + 1) * each)
        table = pa.table({"id": list(range(rows))[part], "text": texts[part]})
        put_table(folder, f"in/p={file}/a.parquet", table, row_group_size=row_group_size)


def command(folder: Folder, *more: str, model: str = "HurtingModel") -> tuple[str, ...]:
    places = ("--input", folder.url + "in/", "--output", folder.url + "out/")
    return ("run", "--model", f"tests.batch.hurting_models:{model}", *places, "--stall-s", "3", *more)


def run(folder: Folder, *, model: str = "HurtingModel", **settings: object) -> Manifest:
    places = {"input": folder.url + "in/", "output": folder.url + "out/", "stall_s": 3}
    return run_job({"model": f"tests.batch.hurting_models:{model}", **places, **settings}, supervised=True)


def assert_isolated(folder: Folder, rows: int, hurting: dict[int, str]) -> None:
    """Every row is there once, in its place; those that hurt are error rows and no other is."""
    found = read_output(folder).to_pylist()
    assert [row["id"] for row in found] == list(range(rows))
    for row in found:
        if deed := hurting.get(row["id"]):
            assert row["label"] is None
            assert row["error"]["class"] == KINDS[deed], row
            assert row["error"]["attempts"] >= (1 if deed == "raises" else 2)
        else:
            assert row["error"] is None, row
            assert row["label"] == ("even", "odd")[row["id"] % 2]


def assert_ended_well(end: Ended, rows: int, errors: int) -> None:
    assert end.code == 0, end.err
    assert f"{rows:,} rows in" in end.out
    assert f" {counted(errors, 'error row')}," in end.out


SEVEN = {
    1234: "raises", 8765: "raises", 999: "hangs", 6001: "hangs", 2500: "segfaults", 9999: "segfaults", 5432: "hogs",
}  # fmt: skip


def working(process_id: int) -> Sequence[psutil.Process]:
    """The processes of a command that answer rows: those that no other one of it waits for."""
    everybody = psutil.Process(process_id).children(recursive=True)
    workers = [one for one in everybody if any("spawn_main" in word for word in one.cmdline())]
    return workers or everybody


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
