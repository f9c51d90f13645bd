"""Rows that hurt: one that raises, hangs, ends its process or fills its memory costs itself only."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.batch.command import job
from tests.batch.hurting_jobs import SEVEN, assert_ended_well, assert_isolated, command, finished, put_rows, run
from tests.batch.places import Folder, put_table, read_json, read_output

pytestmark = pytest.mark.usefixtures("calls")


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


def test_one_row_that_ends_its_process_among_wide_ones_is_isolated_within_the_memory(folder: Folder) -> None:
    """The rows that are tried, to see whether any passes, are read one by one: all of them pass the bound."""
    octets = np.random.default_rng(0).integers(97, 123, 4_000_000, np.uint8).tobytes().decode()
    texts = [f"{number} {'segfaults' if number == 75 else 'is fine'}" for number in range(80)]
    table = pa.table({"id": range(80), "text": texts, "wide": [f"{number}{octets}" for number in range(80)]})
    put_table(folder, "in/a.parquet", table, use_dictionary=False, row_group_size=16)
    end = finished(*command(folder, "--memory", "450MB", "--shard-mb", "1000"))
    assert_ended_well(end, 80, 1)
    assert_isolated(folder, 80, {75: "segfaults"})
