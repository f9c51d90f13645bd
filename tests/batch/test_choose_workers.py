"""`--workers auto` is measured with real processes on rows of the job, once; without a measurement there is one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from batch.choose import choose_workers
from batch.choose.choose_workers import describe_shape, fastest, list_candidates, trial_rows
from batch.errors import Interrupted
from batch.prepare import Prepared, prepare_job
from batch.run import run_job
from batch.spec import JobSpec, make_job
from batch.stop import Stop
from batch.worker import Shape
from batch.workers import share_cores
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import WORD_COUNT, Folder, put_table, read_output, texts


class Heard:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, object]] = {}

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        pass

    def advanced(self, rows: int) -> None:
        pass

    def told(self, event: str, **facts: object) -> None:
        self.facts[event] = facts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was measured here, and two cores are as many as there are."""
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


@pytest.fixture
def two_shards(folder: Folder) -> Folder:
    for number in range(2):
        put_table(folder, f"in/p={number}/a.parquet", texts(200, first=200 * number))
    return folder


def run(folder: Folder, model: str = "WordCount", **settings: Any) -> tuple[dict[str, Any], dict[str, object]]:
    """The manifest's run, and what was said of the workers."""
    heard = Heard()
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    name = f"tests.batch.own_models:{model}"
    manifest = run_job({"model": name, "workers": "auto", **places, **settings}, progress=heard)
    assert manifest["rows"] == len(read_output(folder, settings.get("output", "out/").removeprefix(folder.url)))
    return manifest["run"], heard.facts["workers"]


def prepared(folder: Folder) -> Prepared:
    """A job that has a model of its own, planned and not begun."""
    settings = {"model": WORD_COUNT, "workers": "auto", "input": folder.url + "in/", "output": folder.url + "out/"}
    return prepare_job(make_job(settings), dry=True)


def test_the_fastest_candidate_is_taken_and_remembered(
    two_shards: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_workers, "WORTH_S", 0.0)
    monkeypatch.setattr(choose_workers, "TRIAL_S", 0.2)
    monkeypatch.setattr(choose_workers, "GAIN", 1.0)
    found, said = run(two_shards, "SlowArithmetic")
    (record,) = (tmp_path / "measured").rglob("workers/*.json")
    paces = json.loads(record.read_text())
    assert paces.keys() == {"1 process of 2 threads", "2 processes of 1 thread"}
    assert all(pace > 0 for pace in paces.values())
    assert said["chosen"] == max(paces, key=lambda name: paces[name]), "whichever it was on this machine, just now"
    assert f"{found['workers']} process" in str(said["chosen"])
    # What is remembered decides the next time, without a trial.
    for fastest_one, workers in (("1 process of 2 threads", 1), ("2 processes of 1 thread", 2)):
        record.write_text(json.dumps(dict.fromkeys(paces, 1.0) | {fastest_one: 2.0}))
        found, said = run(two_shards, "SlowArithmetic", output=f"{two_shards.url}again-{workers}/")
        assert (found["workers"], said["chosen"]) == (workers, fastest_one)


@pytest.mark.parametrize(("device", "shapes"), [("cpu", 2), ("cuda", 1), ("tensorrt", 1)])
def test_several_processes_are_candidates_on_the_cpu_only(two_shards: Folder, device: str, shapes: int) -> None:
    assert len(list_candidates(prepared(two_shards), 2, device)) == shapes


def test_trials_have_a_window_of_the_usual_size(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(2000))
    ready = prepared(folder)
    rows = trial_rows(ready, *ready.shards[0])
    assert rows is not None
    assert rows.num_rows == 2000


def test_a_candidate_that_failed_once_is_tried_again(
    two_shards: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_workers, "WORTH_S", 0.0)
    monkeypatch.setattr(choose_workers, "TRIAL_S", 0.1)
    run(two_shards)
    (record,) = (tmp_path / "measured").rglob("workers/*.json")
    paces = json.loads(record.read_text())
    record.write_text(json.dumps(paces | {"2 processes of 1 thread": 0.0}))
    run(two_shards, output=two_shards.url + "again/")
    assert json.loads(record.read_text())["2 processes of 1 thread"] > 0


def test_trials_end_where_the_job_is_asked_to_stop(two_shards: Folder) -> None:
    stop = Stop()
    stop.asked = "SIGTERM"
    ready = prepared(two_shards)
    with pytest.raises(Interrupted, match="asked to stop by SIGTERM"):
        choose_workers.choose_workers(ready, ready.shards, Heard(), stop)


def test_a_job_shorter_than_the_trials_is_not_tried_further(two_shards: Folder, tmp_path: Path) -> None:
    found, said = run(two_shards)
    assert found["workers"] == 1
    assert said == {"chosen": "1 process of 2 threads", "reason": "the job is too short for trials"}
    assert list((tmp_path / "measured").rglob("workers/*.json")) == []


def test_one_shard_takes_one_process_and_all_cores(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(20))
    found, said = run(folder)
    assert (found["workers"], found["threads"]) == (1, 2)
    assert said["reason"] == "there is one shard"


def test_where_a_trial_cannot_run_there_is_one_process_and_it_is_said(
    two_shards: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_workers, "PATIENCE_S", 0.0)
    found, said = run(two_shards)
    assert found["workers"] == 1
    assert said["reason"] == "no trial came to its end"


def test_a_process_more_has_to_be_worth_it() -> None:
    one, two = Shape(workers=1, threads=2), Shape(workers=2, threads=1)
    for gain, chosen in ((1.02, one), (1.04, two), (0.5, one)):
        assert fastest([one, two], {describe_shape(one): 100.0, describe_shape(two): 100.0 * gain}) is chosen


@pytest.mark.parametrize(
    ("settings", "environment", "workers", "shards", "expected"),
    [
        ({}, None, 1, 9, Shape(workers=1, threads=2)),
        ({}, None, 2, 9, Shape(workers=2, threads=1)),
        ({}, None, 4, 9, Shape(workers=4, threads=1)),
        ({}, None, 2, 1, Shape(workers=1, threads=2)),
        ({"threads": 2}, None, 2, 9, Shape(workers=2, threads=2)),
        ({}, "2", 2, 9, Shape(workers=2, threads=2)),
    ],
)
def test_workers_share_the_cores_unless_their_threads_are_named(
    settings: dict[str, Any],
    environment: str | None,
    workers: int,
    shards: int,
    expected: Shape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    spec = JobSpec.model_validate({"model": "m", "input": "in", "output": "out", **settings})
    assert share_cores(spec, workers, shards) == expected


@pytest.mark.parametrize("workers", ["many", "0", "257", "-1", "1.5"])
def test_workers_that_are_no_number_are_named(folder: Folder, command: Command, workers: str) -> None:
    end = command(*job(folder, "--workers", workers))
    assert_refused(end, 2, "workers", "expected 1 to 256 processes or auto", workers)
