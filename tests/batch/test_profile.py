"""Where the time went: the slowest step is named, every second is somebody's, and the arithmetic's rate is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.overlap import QueueTime, overlap
from batch.profile import find_bottleneck, profile_lines
from batch.run import run_job
from models.flops import flops_of, record_flops
from models.matmul import known_rate
from models.spec import read_spec
from tests.batch.command import Command, job
from tests.batch.places import Folder, put_table, texts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


def run(folder: Folder, model: str, **settings: Any) -> dict[str, Any]:
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    found: dict[str, Any] = run_job({"model": model, "window_rows": 10, **places, **settings})["run"]
    return found


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("model", "bottleneck", "steps", "waiting"),
    [
        ("SlowEncoder", "encode", ["encode"], "wait"),
        ("SlowArithmetic", "arithmetic", ["arithmetic"], "decode_idle"),
        ("SlowDecoder", "decode", ["decode"], "arithmetic_held"),
    ],
)
def test_the_slowest_step_is_the_bottleneck_and_its_neighbours_wait_for_it(
    folder: Folder, model: str, bottleneck: str, steps: list[str], waiting: str, workers: int
) -> None:
    windows = 20 * workers
    for number in range(workers):
        put_table(folder, f"in/p={number}/a.parquet", texts(200))
    found = run(folder, f"tests.batch.own_models:{model}", workers=workers)
    assert found["workers"] == workers
    for step in steps:
        assert found["spent_s"][step] >= 0.05 * windows, "the seconds of all workers are added up"
    assert found["spent_s"][waiting] >= 0.05 * windows / 4
    # One step sleeps for a second and the others take milliseconds; how long starting takes is the machine's affair.
    assert find_bottleneck(found | {"start_s": 0.0}) == bottleneck


def test_starting_two_processes_is_the_bottleneck_where_it_took_longer_than_what_they_did() -> None:
    steps = dict.fromkeys(("read", "encode", "arithmetic", "decode", "write", "commit"), 1.0)
    assert find_bottleneck({"workers": 2, "start_s": 1.6, "spent_s": steps}) == "start"
    assert find_bottleneck({"workers": 2, "start_s": 0.9, "spent_s": steps}) == "write", "two steps share a thread"
    assert find_bottleneck({"workers": 2, "start_s": 1.4, "spent_s": steps | {"read": 3.2}}) == "read"


def test_the_profile_is_a_table_of_a_hundred_columns_that_says_what_to_do(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(300))
    words = job(folder, "--profile", "--window-rows", "10", model="tests.batch.own_models:SlowEncoder")
    ended = command(*words)
    assert ended.code == 0, ended.err
    table = ended.out[ended.out.index("where the time went") :]
    assert max(map(len, table.splitlines())) <= 100
    for word in ("read", "encode", "arithmetic", "decode", "write", "commit", "start, end", "rows/s", "steps/s"):
        assert word in table
    assert "What this run waited for is encoding" in table
    assert "operations cannot be counted" in table
    # A second run has nothing to do, and so no time went anywhere.
    assert "where the time went" not in command(*words).out


def test_without_the_flag_the_manifest_says_it_and_the_command_does_not(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    assert "where the time went" not in command(*job(folder)).out
    assert known_rate(1) is None, "nobody multiplied matrices for a job that did not ask"


def test_after_a_long_job_the_rate_is_measured_unasked(
    folder: Folder, vowels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.run.MEASURED_FROM_S", 0.0)
    put_table(folder, "in/a.parquet", pa.table({"steps": [[[0.5] * 12] * 4] * 3}))
    found = run(folder, str(vowels), threads=1)
    assert found["gflop_per_s"] > 0
    assert found["matmul_gflop_per_s"] == pytest.approx(known_rate(1), abs=0.1)


def test_the_rate_is_what_the_graph_counts_over_the_seconds_of_the_arithmetic(
    folder: Folder, vowels: Path, tmp_path: Path
) -> None:
    import shutil

    model = shutil.copytree(vowels, tmp_path / "model")
    flops = record_flops(model, read_spec(model))
    assert flops is not None
    steps = [[[0.1 * i] * 12] * (1 + i % 9) for i in range(90)]
    put_table(folder, "in/a.parquet", pa.table({"steps": steps}))
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    found = run_job({"model": str(model), "threads": 1, **places}, profile=True)["run"]
    assert found["gflop_per_s"] > 0
    assert found["unit"] == "steps"
    assert found["matmul_gflop_per_s"] == pytest.approx(known_rate(1), abs=0.1)
    assert found["arithmetic_share"] == pytest.approx(found["gflop_per_s"] / found["matmul_gflop_per_s"], rel=0.02)
    lengths = [1 + i % 9 for i in range(90)]
    least = flops_of(flops, pieces=90, padded=sum(lengths), squared=sum(n * n for n in lengths))
    assert found["gflop_per_s"] * 1e9 * found["spent_s"]["arithmetic"] >= 0.9 * least
    assert any("plain matrix products reach here" in line for line in profile_lines(found))
    # A model that was added before anybody counted is counted where somebody asks for the profile.
    uncounted = {"model": str(vowels), "threads": 1, **places}
    assert "gflop_per_s" not in run_job(uncounted | {"output": folder.url + "silent/"})["run"]
    assert run_job(uncounted | {"output": folder.url + "asked/"}, profile=True)["run"]["gflop_per_s"] > 0
    # Another run on this host knows the rate without measuring.
    again = run_job({"model": str(model), "threads": 1, **places, "output": folder.url + "again/"})["run"]
    assert again["matmul_gflop_per_s"] == pytest.approx(known_rate(1), abs=0.1)


def test_a_queue_says_who_stood_still() -> None:
    import time

    def slowly(items: range) -> Any:
        for item in items:
            time.sleep(0.02)
            yield item

    starved, held = QueueTime(), QueueTime()
    assert list(overlap(slowly(range(5)), ahead=2, name="slow step", stood=starved)) == list(range(5))
    assert starved.empty >= 0.08
    assert starved.full < starved.empty
    for _ in overlap(range(8), ahead=2, name="quick step", stood=held):
        time.sleep(0.02)
    assert held.full >= 0.08
    assert held.empty < held.full


def test_the_profile_of_the_aws_settings_has_a_name_of_its_own(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    assert command(*job(folder, "--aws-profile", "nobody")).code == 0, "a folder needs no credentials"
    assert command("status", folder.url + "out/", "--aws-profile", "nobody").code == 0
