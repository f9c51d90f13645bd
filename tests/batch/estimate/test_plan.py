"""`tandem plan`: what a job will take, said before, kept beside the truth, and nothing written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batch.estimate import experience, foresee, pace
from batch.run import run_job
from tests.batch.command import Command, Ended, assert_refused
from tests.batch.places import WORD_COUNT, Folder, Place, put_table, read_json, read_parts, texts

WAITING = "tests.batch.own_models:SlowArithmetic"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))
    monkeypatch.setattr(pace, "SECONDS", 1.5)


def words(place: Place, *more: str, model: str = WORD_COUNT) -> tuple[str, ...]:
    return ("--model", model, "--input", place.url + "in/", "--output", place.url + "out/", *more)


def planned(place: Place, command: Command, *more: str, model: str = WORD_COUNT) -> dict[str, Any]:
    end = command("plan", *words(place, *more, model=model), "--json")
    assert end.code == 0, end.err
    found: dict[str, Any] = json.loads(end.out)
    return found


def holds(estimate: dict[str, Any], what: str, truth: float) -> bool:
    return bool(estimate[what]["low"] <= truth <= estimate[what]["high"])


def sequences(rows: int, *, seed: int = 0) -> pa.Table:
    """Rows `id, steps` of 2 to 40 steps."""
    rng = np.random.default_rng(seed)
    steps = [rng.normal(size=(int(count), 12)).round(3).tolist() for count in rng.integers(2, 41, rows)]
    return pa.table({"id": range(rows), "steps": steps})


@pytest.mark.parametrize("model", ["RaisingEncoder", "PoisonModel", "RaisingDecoder"])
def test_a_row_that_raises_in_the_sample_does_not_end_the_plan(folder: Folder, command: Command, model: str) -> None:
    bad = " ".join(["word"] * 13)
    put_table(folder, "in/a.parquet", pa.table({"text": [*(f"row {row}" for row in range(40)), bad]}))
    assert planned(folder, command, model=f"tests.batch.own_models:{model}")["estimate"]["rows"]["value"] == 41


def test_rows_steps_and_output_are_what_the_run_then_has(place: Place, command: Command, vowels: Path) -> None:
    tables = [sequences(150, seed=number) for number in range(3)]
    for number, table in enumerate(tables):
        put_table(place, f"in/{number}.parquet", table, row_group_size=50)
    estimate = planned(place, command, model=str(vowels))["estimate"]
    assert place.etags("out/") == {}, "something was written"
    assert estimate["rows"] == {"value": 450.0, "low": 450.0, "high": 450.0}
    steps = sum(len(row) for table in tables for row in table.column("steps").to_pylist())
    assert estimate["steps"]["value"] == pytest.approx(steps, rel=1e-3), "every row was looked at"
    assert estimate["seconds"]["low"] < estimate["seconds"]["value"] < estimate["seconds"]["high"]
    assert estimate["measured"]
    assert estimate["cost"] is None
    assert 0 < estimate["memory_bytes"]["low"] < estimate["memory_bytes"]["high"]
    assert command("run", *words(place, model=str(vowels))).code == 0
    written = sum(part["size_bytes"] for part in read_json(place, "out/_tandem/manifest.json")["parts"])
    assert 0.5 * written < estimate["output_bytes"]["value"] < 2 * written


def test_rows_behind_a_filter_are_estimated_from_those_that_were_looked_at(folder: Folder, command: Command) -> None:
    rng = np.random.default_rng(1)
    for number in range(60):
        table = texts(100).append_column("lang", pa.array(rng.choice(["en", "de"], 100, p=[0.3, 0.7])))
        put_table(folder, f"in/{number:02}.parquet", table)
    estimate = planned(folder, command, "--where", "lang = 'en'")["estimate"]
    manifest = run_job({"model": WORD_COUNT, "input": folder.url + "in/", "output": folder.url + "out/",
                        "where": "lang = 'en'"})  # fmt: skip
    assert holds(estimate, "rows", manifest["rows"])
    assert estimate["rows"]["low"] < estimate["rows"]["high"] < 6000


def test_what_is_committed_is_not_estimated_again(folder: Folder, command: Command) -> None:
    put_table(folder, "in/p=0/a.parquet", texts(60))
    assert command("run", *words(folder)).code == 0
    assert planned(folder, command)["estimate"] is None
    put_table(folder, "in/p=1/a.parquet", texts(40))
    found = planned(folder, command)
    assert (found["shards"], found["shards_committed"], found["shards_to_do"]) == (2, 1, 1)
    assert found["estimate"]["rows"]["value"] == 40


def test_the_price_makes_a_cost_of_the_time(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(60))
    estimate = planned(folder, command, "--price", "7.2")["estimate"]
    for end in ("value", "low", "high"):
        assert estimate["cost"][end] == pytest.approx(estimate["seconds"][end] * 7.2 / 3600, rel=1e-2)
    said = command("plan", *words(folder, "--price", "7.2", "--max-minutes", "0.0001")).out
    assert "at 7.2 an hour" in said
    assert "--max-minutes 0.0001: not a single shard is expected to be done in it" in said
    folder.delete("in/a.parquet")
    for number in range(8):
        put_table(folder, f"in/p={number}/a.parquet", texts(60))
    said = command("plan", *words(folder, "--max-minutes", "0.003")).out
    assert "--max-minutes 0.003: about" in said
    assert "runs of the same command" in said


def test_a_model_that_takes_its_time_is_foreseen(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(40))
    # A call takes 50 ms whatever its rows, and nothing makes it faster; what the start takes is the machine's affair.
    estimate = planned(folder, command, model=WAITING)["estimate"]
    assert estimate["sample"]["answered"] >= 8
    assert estimate["seconds"]["value"] > 0.05


def test_without_measuring_no_model_is_loaded(folder: Folder, command: Command, unloadable: str) -> None:
    put_table(folder, "in/a.parquet", sequences(20))
    end = command("plan", *words(folder, "--no-measure", model=unloadable))
    assert end.code == 0
    assert "20 rows" in end.out
    assert "estimate" not in end.out
    assert_refused(command("plan", *words(folder, model=unloadable)), 3, unloadable)


def test_the_manifest_holds_the_plan_beside_the_truth(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(60))
    estimate = planned(folder, command)["estimate"]
    assert command("run", *words(folder)).code == 0
    run = read_json(folder, "out/_tandem/manifest.json")["run"]
    held = run["estimate"].pop("truth")
    assert run["estimate"] == {"by": "plan", **estimate}
    assert (held["rows"], held["seconds"]) == (60, run["seconds"])
    assert held["seconds_within"] == (estimate["seconds"]["low"] <= run["seconds"] <= estimate["seconds"]["high"])


def test_a_plan_of_other_work_is_not_taken_for_this_one(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(60))
    planned(folder, command)
    put_table(folder, "in/b.parquet", texts(60))
    assert command("run", *words(folder)).code == 0
    assert read_json(folder, "out/_tandem/manifest.json")["run"]["estimate"] is None


def test_a_longer_run_makes_its_own_estimate(
    folder: Folder, command: Command, vowels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(folder, "in/a.parquet", sequences(200))
    monkeypatch.setattr(foresee, "WORTH_S", 0.0)
    run_job({"model": str(vowels), "input": folder.url + "in/", "output": folder.url + "first/"})
    run_job({"model": str(vowels), "input": folder.url + "in/", "output": folder.url + "out/"})
    found = read_json(folder, "out/_tandem/manifest.json")["run"]["estimate"]
    assert (found["by"], found["measured"], found["sample"]["answered"]) == ("run", False, 0)
    assert found["rows"]["value"] == found["truth"]["rows"] == 200


def test_beside_much_other_work_an_estimate_is_less_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = len(os.sched_getaffinity(0))
    spreads = []
    for waiting in (0.1, 1.0, 8.0):
        monkeypatch.setattr(os, "getloadavg", lambda waiting=waiting: (waiting * cores, 0.0, 0.0))
        spreads.append(experience.drift().relative)
    assert spreads[0] == spreads[1] == experience.USUAL_SPREAD
    assert spreads[2] > 4 * spreads[1]


def test_a_host_learns_how_far_its_estimates_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    before = experience.drift()
    assert before.value == 1.0
    for _ in range(10):
        experience.remember_ratio(estimated_s=10.0, seconds=15.0)
    experience.remember_ratio(estimated_s=1.0, seconds=2.0)
    after = experience.drift()
    assert experience.recall_ratios() == [1.5] * 10, "a run of two seconds says nothing of longer ones"
    assert 1.2 < after.value < 1.5
    for seconds in (5.0, 40.0) * 5:
        experience.remember_ratio(estimated_s=10.0, seconds=seconds)
    assert experience.drift().relative > 2 * before.relative, "estimates that were far off make wide ones"
    assert len(experience.recall_ratios()) == experience.RUNS


def lines_of(end: Ended) -> dict[str, str]:
    return {line.split()[0]: line for line in end.out.splitlines() if line.strip()}


def test_the_lines_say_what_was_asked_and_from_what(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(600), row_group_size=100)
    said = lines_of(command("plan", *words(folder, "--where", "id >= 300")))
    assert "300" in said["rows"]
    assert " to " in said["time"]
    assert re.search(r"[MG]B \(", said["memory"]), said
    assert "row groups" in said["from"]
    assert "cost" not in said


def test_a_job_without_rows_has_an_estimate_of_none(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(0))
    assert planned(folder, command)["estimate"] is None
    put_table(folder, "in/b.parquet", texts(50))
    estimate = planned(folder, command, "--where", "id > 100")["estimate"]
    assert estimate["rows"]["value"] == 0
    assert estimate["steps"]["value"] == 0
    assert read_parts(folder) == {}
