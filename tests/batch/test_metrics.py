"""Prometheus reads of a running job what its manifest says in the end, and of a port that is taken nothing begins."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.errors import UsageError
from batch.run import run_job
from tests.batch.command import Command, assert_refused, ended, job, started
from tests.batch.hurting_models import CALLS
from tests.batch.places import WORD_COUNT, Folder, put_table, read_json, texts
from tests.batch.told import Told

LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def scrape(url: str) -> dict[str, float]:
    """`name{labels}` -> value."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = LINE.findall(answer.read().decode())
    return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in found}


def fill(place: Folder, shards: int = 3) -> None:
    for number in range(shards):
        put_table(place, f"in/p={number}/a.parquet", texts(30 + number))
    put_table(place, "in/p=9/a.parquet", pa.table({"id": [1, 2, 3], "text": ["a b c", None, None]}))


def settings(place: Folder, **more: Any) -> dict[str, Any]:
    return {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/", **more}


def test_the_last_scrape_and_the_manifest_agree(folder: Folder) -> None:
    fill(folder)
    found: dict[str, float] = {}
    told = Told(done=lambda: found.update(scrape(told.facts("metrics")["url"])))
    manifest = run_job(settings(folder, metrics_port=0, window_rows=7), progress=told)
    assert found["tandem_rows_answered_total"] == manifest["rows"] == 96
    assert found['tandem_rows{state="planned"}'] == found['tandem_rows{state="done"}'] == 96
    assert (found['tandem_shards{state="done"}'], found['tandem_shards{state="left"}']) == (4, 0)
    assert found['tandem_error_rows_total{class="NullValue"}'] == manifest["error_rows"] == 2
    assert found["tandem_micro_batches_total"] == manifest["work"]["micro_batches"]
    assert found['tandem_units_total{kind="real"}'] == manifest["work"]["real"]
    assert found['tandem_units_total{kind="padding"}'] == manifest["work"]["padded"] - manifest["work"]["real"]
    assert found["tandem_rows_per_second"] > 0
    for step, seconds in manifest["run"]["spent_s"].items():
        if f'tandem_step_seconds_total{{step="{step}"}}' in found:
            assert found[f'tandem_step_seconds_total{{step="{step}"}}'] == pytest.approx(seconds, abs=0.01)
    model = manifest["model"]
    (name,) = [name for name in found if name.startswith("tandem_job{")]
    for fact in (model["tag"], model["variant"], manifest["fingerprint"][:8]):
        assert f'="{fact}"' in name


def test_the_port_is_free_again_when_the_job_is_done_or_failed(folder: Folder) -> None:
    fill(folder)
    told = Told()
    run_job(settings(folder, metrics_port=0), progress=told)
    port = int(told.facts("metrics")["url"].split(":")[2].partition("/")[0])
    with pytest.raises(UsageError, match="lacks nothing"):
        run_job(settings(folder, metrics_port=port, column={"text": "nothing"}, output=f"{folder.url}no/"))
    assert run_job(settings(folder, metrics_port=port))["run"]["rows"] == 0


def test_what_was_committed_before_counts_as_done_and_not_as_this_runs(folder: Folder) -> None:
    fill(folder)
    run_job(settings(folder))
    put_table(folder, "in/p=5/a.parquet", texts(10))
    found: dict[str, float] = {}
    told = Told(done=lambda: found.update(scrape(told.facts("metrics")["url"])))
    run_job(settings(folder, metrics_port=0), progress=told)
    assert found["tandem_rows_answered_total"] == 10
    assert found['tandem_rows{state="done"}'] == found['tandem_rows{state="planned"}'] == 106
    assert 'tandem_error_rows_total{class="NullValue"}' not in found


def test_workers_rows_are_counted_while_they_are_at_work(folder: Folder) -> None:
    for number in range(30):
        put_table(folder, f"in/p={number:02}/a.parquet", texts(20))
    model = "tests.batch.own_models:SlowArithmetic"
    words = job(folder, "--workers", "2", "--metrics-port", "0", "--log", "json", model=model)
    with started(*words) as process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        assert first["event"] == "metrics"
        assert first["url"].startswith("http://127.0.0.1:")
        ends = time.monotonic() + 60
        while not 0 < (found := scrape(first["url"])).get('tandem_shards{state="done"}', 0) < 30:
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert found['tandem_shards{state="left"}'] == 30 - found['tandem_shards{state="done"}']
        assert found["tandem_rows_answered_total"] >= 20 * found['tandem_shards{state="done"}']
        assert found["tandem_rows_per_second"] > 0
        assert ended(process).code == 0
    assert read_json(folder, "out/_tandem/manifest.json")["rows"] == 600


def test_a_row_that_ends_the_process_does_not_end_the_port(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that goes on listens where the one before it did, and counts the row."""
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    put_table(folder, "in/a.parquet", pa.table({"text": ["0 is fine", "1 segfaults", "2 is fine"]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = "tests.batch.hurting_models:HurtingModel"
    with started(*job(folder, "--metrics-port", str(port), "--log", "json", model=model)) as process:
        end = ended(process, within_s=120)
    assert end.code == 0, end.err
    lines = [json.loads(line) for line in end.err.splitlines()]
    urls = [line["url"] for line in lines if line["event"] == "metrics"]
    assert urls == [f"http://127.0.0.1:{port}/metrics"] * 2
    assert [line["errors_by_class"] for line in lines if line["event"] == "committed"] == [{"WorkerDied": 1}]


def test_a_taken_port_is_refused_before_a_model_is_loaded(folder: Folder, unloadable: str, command: Command) -> None:
    fill(folder)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        end = command(*job(folder, "--metrics-port", str(port), model=unloadable))
    assert_refused(
        end, 2, f"--metrics-port {port}: cannot listen on 127.0.0.1:{port}", "Address already in use", "0 for"
    )
    assert not folder.etags("out/")


def test_an_address_that_is_none_and_a_port_that_is_none_are_refused(folder: Folder, command: Command) -> None:
    fill(folder)
    assert_refused(command(*job(folder, "--metrics-port", "0", "--metrics-host", "192.0.2.1")), 2, "192.0.2.1:0")
    assert_refused(command(*job(folder, "--metrics-port", "70000")), 2, "metrics_port", "65535", "found 70000")


def test_where_the_package_is_missing_it_says_what_to_install(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"pip install 'tandem-inference\[metrics\]'"):
        run_job(settings(folder, metrics_port=0))
