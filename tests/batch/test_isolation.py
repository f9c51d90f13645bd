"""Rows that hurt: one that raises, hangs, ends its process or fills its memory costs itself only."""

from __future__ import annotations

import errno
import math
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from batch.amounts import counted
from batch.errors import Interrupted, StoreUnavailable
from batch.report import Manifest
from batch.run import run_job
from tests.batch.command import Ended, assert_refused, ended, job, started, tandem
from tests.batch.hurting_models import CALLS, MARKS
from tests.batch.places import Folder, part_keys, put_table, read_json, read_output

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


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which every call of the arithmetic is a line."""
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    monkeypatch.setenv(MARKS, str(tmp_path / "marks"))
    return tmp_path / "calls"


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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_seven_poison_rows_of_ten_thousand_are_seven_error_rows(folder: Folder, workers: str) -> None:
    put_rows(folder, 10_000, SEVEN, files=4)
    memory = {"1": "500MB", "2": "700MB"}[workers]
    end = finished(*command(folder, "--workers", workers, "--memory", memory, "--stall-s", "6"))
    assert_ended_well(end, 10_000, 7)
    assert_isolated(folder, 10_000, SEVEN)
    assert read_json(folder, "out/_tandem/manifest.json")["errors"] == {
        "OutOfMemory": 1, "RowHung": 2, "ValueError": 2, "WorkerDied": 2,
    }  # fmt: skip


@pytest.mark.parametrize("model", ["HurtingModel", "HurtingEncoder", "HurtingDecoder"])
@pytest.mark.parametrize("deed", ["raises", "segfaults", "exits", "hangs"])
def test_a_row_is_isolated_in_whatever_step_it_hurts(folder: Folder, model: str, deed: str) -> None:
    put_rows(folder, 200, {77: deed})
    assert run(folder, model=model)["errors"] == {KINDS[deed]: 1}
    assert_isolated(folder, 200, {77: deed})


def test_the_error_row_says_what_happened(folder: Folder) -> None:
    put_rows(folder, 20, {3: "segfaults", 5: "exits", 7: "hangs"})
    run(folder)
    messages = {row["id"]: row["error"]["message"] for row in read_output(folder).to_pylist() if row["error"]}
    assert messages == {
        3: "its process ended with signal SIGSEGV, 2 times alone",
        5: "its process ended with exit code 0, 2 times alone",
        7: "its process gave no answer within 3 s, 2 times alone",
    }


def test_an_exit_with_code_0_does_not_pass_for_done(folder: Folder) -> None:
    put_rows(folder, 300, {150: "exits"})
    end = finished(*command(folder))
    assert_ended_well(end, 300, 1)
    assert "supervised reason=(the job's process ended with exit code 0)" in end.err
    assert_isolated(folder, 300, {150: "exits"})


@pytest.mark.parametrize("hurting", [{300: "segfaults"}, {100: "segfaults", 101: "segfaults"}])
def test_poison_costs_few_calls(folder: Folder, calls: Path, hurting: dict[int, str]) -> None:
    """Those that were lost with their processes are among them."""
    put_rows(folder, 512, {})
    more = {"model": "ManyAtOnce", "window_rows": 512}
    run(folder, output=folder.url + "clean/", **more)
    clean = len(calls.read_text().splitlines())
    calls.unlink()
    put_rows(folder, 512, hurting)
    run(folder, **more)
    assert_isolated(folder, 512, hurting)
    extra = len(calls.read_text().splitlines()) - clean
    assert 0 < extra <= 4 * math.log2(512) * len(hurting)


def test_answers_outlive_the_deaths_that_come_after_them(folder: Folder, calls: Path) -> None:
    """Only the first death over a shard costs its earlier answers; from then on they are kept."""
    hurting = dict.fromkeys((4_500, 5_000, 5_500), "segfaults")
    put_rows(folder, 6_000, hurting)
    manifest = run(folder, window_rows=128)
    assert_isolated(folder, 6_000, hurting)
    answered = [int(number) for line in calls.read_text().splitlines() for number in line.split()[1:]]
    early = [number for number in answered if number < 4_000]
    assert len(early) == 2 * 4_000
    assert manifest["run"]["rows"] == 6_000
    assert manifest["run"]["micro_batches"] >= 6_000 / 64, "those of the windows that were kept are counted"


def test_a_disk_too_full_to_keep_answers_is_named_and_no_worker_is_blamed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_rows(folder, 200, {77: "segfaults"})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StoreUnavailable, match=r"answers in .*: No space left on device; .* TMPDIR"):
        run(folder)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_row_that_breaks_the_device_is_isolated_and_one_that_breaks_it_once_is_not(
    folder: Folder, workers: str
) -> None:
    put_rows(folder, 400, {40: "breaks the device", 300: "dies once"}, files=2)
    end = finished(*command(folder, "--workers", workers))
    assert_ended_well(end, 400, 1)
    assert_isolated(folder, 400, {40: "breaks the device"})


def test_rows_of_50_mb_among_small_ones_go_through_1_5_gb_and_nobody_is_ended(folder: Folder) -> None:
    octets = np.random.default_rng(0).integers(97, 123, 50_000_000, np.uint8).tobytes().decode()
    texts = [f"{n}{octets}" if n in (10, 11, 150, 390) else f"the row {n}" for n in range(400)]
    put_table(folder, "in/a.parquet", pa.table({"id": range(400), "text": texts}), use_dictionary=False)
    end = finished(*job(folder, "--memory", "1.5GB", model="tests.batch.own_models:ConstantModel"))
    assert_ended_well(end, 400, 0)
    assert "supervised" not in end.err
    assert [row["id"] for row in read_output(folder).to_pylist()] == list(range(400))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_row_that_fails_once_is_no_poison(folder: Folder, workers: str) -> None:
    put_rows(folder, 400, {40: "dies once", 350: "dies once"}, files=2)
    end = finished(*command(folder, "--workers", workers))
    assert_ended_well(end, 400, 0)
    assert_isolated(folder, 400, {})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_process_that_is_stopped_convicts_nobody(folder: Folder, workers: str) -> None:
    put_rows(folder, 400, {40: "stops once"}, files=2)
    end = finished(*command(folder, "--workers", workers))
    assert_ended_well(end, 400, 0)
    assert_isolated(folder, 400, {})


def working(process_id: int) -> Sequence[psutil.Process]:
    """The processes of a command that answer rows: those that no other one of it waits for."""
    everybody = psutil.Process(process_id).children(recursive=True)
    workers = [one for one in everybody if any("spawn_main" in word for word in one.cmdline())]
    return workers or everybody


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_process_that_is_killed_from_outside_convicts_nobody(folder: Folder, calls: Path, workers: str) -> None:
    put_rows(folder, 600, dict.fromkeys(range(600), "sleeps"), files=6)
    with started(*command(folder, "--workers", workers, "--shard-mb", "0.0001")) as process:
        wait_for(calls)
        os.kill(working(process.pid)[0].pid, signal.SIGKILL)
        end = ended(process, within_s=PATIENCE_S)
    assert_ended_well(end, 600, 0)
    assert len(part_keys(folder)) == 6


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("deed", "workers"), [("sleeps", "1"), ("holds the interpreter", "2")])
def test_when_the_command_is_killed_nobody_works_on(folder: Folder, calls: Path, deed: str, workers: str) -> None:
    put_rows(folder, 600, dict.fromkeys(range(600), deed), files=4)
    with started(*command(folder, "--workers", workers)) as process:
        wait_for(calls)
        left = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(left, timeout=5)
    assert alive == []


@pytest.mark.parametrize("nulls", [(), (0,), (*range(18), *range(19, 40))])
def test_a_model_that_ends_at_every_row_convicts_none(folder: Folder, nulls: Sequence[int]) -> None:
    """A null passes without the model, and shows nothing of it."""
    texts = [None if row in nulls else f"{row} is fine" for row in range(41)]
    put_table(folder, "in/a.parquet", pa.table({"id": range(41), "text": texts}))
    with pytest.raises(Interrupted, match="none passed"):
        run(folder, model="DyingModel")
    assert part_keys(folder) == []


@pytest.mark.parametrize(("model", "others", "poison"), [("HurtingModel", 10, 4), ("AnyText", 0, 2)])
def test_a_shard_that_the_model_is_shown_nothing_else_of_than_poison_is_finished(
    folder: Folder, model: str, others: int, poison: int
) -> None:
    """Rows of another shard tell that it is not the model, or samples that come along."""
    hurting = dict.fromkeys(range(poison), "segfaults")
    for shard, numbers in enumerate((range(poison), range(poison, poison + others))):
        if numbers:
            texts = [f"{number} {hurting.get(number, 'is fine')}" for number in numbers]
            put_table(folder, f"in/p={shard}/a.parquet", pa.table({"id": numbers, "text": texts}))
    assert run(folder, model=model)["errors"] == {"WorkerDied": poison}
    assert_isolated(folder, poison + others, hurting)


def test_a_model_that_ends_at_every_row_convicts_none_of_shards_of_one_row(folder: Folder) -> None:
    put_rows(folder, 3, {}, files=3)
    with pytest.raises(Interrupted, match="none passed"):
        run(folder, model="DyingModel")
    assert part_keys(folder) == []


def test_one_row_that_ends_its_process_among_wide_ones_is_isolated_within_the_memory(folder: Folder) -> None:
    """The rows that are tried, to see whether any passes, are read one by one: all of them pass the bound."""
    octets = np.random.default_rng(0).integers(97, 123, 4_000_000, np.uint8).tobytes().decode()
    texts = [f"{number} {'segfaults' if number == 75 else 'is fine'}" for number in range(80)]
    table = pa.table({"id": range(80), "text": texts, "wide": [f"{number}{octets}" for number in range(80)]})
    put_table(folder, "in/a.parquet", table, use_dictionary=False, row_group_size=16)
    end = finished(*command(folder, "--memory", "450MB", "--shard-mb", "1000"))
    assert_ended_well(end, 80, 1)
    assert_isolated(folder, 80, {75: "segfaults"})


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("most", "code"), [("2", 4), ("3", 0)])
def test_a_job_stops_above_so_many_error_rows(folder: Folder, most: str, code: int, workers: str) -> None:
    put_rows(folder, 40, dict.fromkeys((5, 15, 25), "raises"), files=4)
    end = finished(*command(folder, "--max-errors", most, "--workers", workers))
    assert end.code == code, end.err
    if code:
        assert "3 of " in end.complaint
        assert "more than --max-errors 2 allows" in end.complaint
        assert "out/_SUCCESS" not in folder.etags()


@pytest.mark.parametrize(
    ("model", "deed", "minutes"),
    [("HurtingModel", "segfaults", "3"), ("HurtingModel", "hangs", "3"), ("HurtingEncoder", "hangs", "1")],
)
def test_a_row_that_hurts_in_the_estimates_sample_is_isolated_too(
    folder: Folder, model: str, deed: str, minutes: str
) -> None:
    """A limit of more than two minutes sends the sample through the model; a shorter one encodes it only."""
    put_rows(folder, 200, {77: deed})
    end = finished(*command(folder, "--max-minutes", minutes, model=model))
    assert_ended_well(end, 200, 1)
    assert_isolated(folder, 200, {77: deed})


@pytest.mark.parametrize("deed", ["segfaults", "hangs"])
def test_a_plan_says_that_a_row_of_its_sample_ended_it(folder: Folder, deed: str) -> None:
    put_rows(folder, 200, {77: deed})
    end = finished("plan", *command(folder)[1:])
    ending = {"segfaults": "ended with signal SIGSEGV", "hangs": "gave no answer within 3 s"}[deed]
    assert_refused(end, 75, f"its process {ending}", "tandem run isolates such rows", "--no-measure")
    assert finished("plan", *command(folder, "--no-measure")[1:]).code == 0


def test_a_death_gives_a_run_no_more_time(folder: Folder) -> None:
    """The first process spends all of it: the one that goes on does the shard of the row at fault, and no other."""
    put_rows(folder, 40, {3: "hangs once"}, files=4)
    end = finished(*command(folder, "--stall-s", "10", "--max-minutes", "0.15", "--shard-mb", "0.0001"))
    assert end.code == 75, end.err
    assert "--max-minutes 0.15: 0 s are left" in end.complaint
    assert "first=begun in any case, as the row that ended a process would never be found" in end.err
    assert len(part_keys(folder)) == 1


def test_a_death_does_not_begin_the_output_anew_again(folder: Folder) -> None:
    put_rows(folder, 40, {3: "segfaults"})
    for times in (1, 2):
        end = finished(*command(folder, "--table", "delta", "--replace"))
        assert_ended_well(end, 40, 1)
        assert len({key.split("/")[1] for key in folder.etags("out/") if key.startswith("out/job-")}) == times
