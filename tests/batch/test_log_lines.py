"""With --log json everything on stderr is one JSON object a line, whatever happens; without, lines are for people."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batch.observe.log_lines import asks_for_json, json_line
from batch.run import run_job
from tests.batch.command import Ended, ended, environment, job, started, tandem
from tests.batch.places import Folder, put_table, read_json, texts

OWN = "tests.batch.own_models:"
PATIENT = {"OMP_NUM_THREADS": "1"}


def objects(end: Ended) -> list[dict[str, Any]]:
    """What every line of stderr says; a line that is no object fails here."""
    found = [json.loads(line) for line in end.err.splitlines() if line]
    for one in found:
        assert list(one)[:3] == ["time", "level", "event"]
        assert one["time"].endswith("+00:00")
    return found


def test_every_change_of_state_is_an_object_with_its_facts(folder: Folder) -> None:
    put_table(folder, "in/p=1/a.parquet", texts(20))
    put_table(folder, "in/p=2/a.parquet", pa.table({"id": [1, 2], "text": ["a", None]}))
    end = tandem(*job(folder, "--log", "json"))
    assert end.code == 0
    assert end.out.startswith("22 rows in 2 parts")
    lines = objects(end)
    assert [line["event"] for line in lines] == ["prepared", "planned", "committed", "committed", "done"]
    assert {line["level"] for line in lines} == {"info"}
    assert lines[0]["fingerprint"] == read_json(folder, "out/_tandem/manifest.json")["fingerprint"][:8]
    committed = [line for line in lines if line["event"] == "committed"]
    assert sorted(line["rows"] for line in committed) == [2, 20]
    assert [line["errors_by_class"] for line in committed if line["rows"] == 2] == [{"NullValue": 1}]
    assert all(line["spent_s"].keys() >= {"read", "encode", "arithmetic", "write", "commit"} for line in committed)
    assert sum(line["work"]["pieces"] + line["work"]["repeated"] for line in committed) == 21


def test_workers_lines_are_objects_too(folder: Folder) -> None:
    for number in range(3):
        put_table(folder, f"in/p={number}/a.parquet", texts(5))
    lines = objects(tandem(*job(folder, "--log", "json", "--workers", "2")))
    assert [line["event"] for line in lines].count("committed") == 3


def test_a_retry_speaks_as_a_run_does(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"id": [1, 2], "text": ["a", None]}))
    assert tandem(*job(folder)).code == 0
    retry = ("retry", f"{folder.url}out/", "--model", f"{OWN}WordCount", "--log", "json")
    end = tandem(*retry, "--metrics-port", "0")
    assert end.code == 0, end.err
    lines = objects(end)
    assert [line["event"] for line in lines] == ["metrics", "prepared", "planned", "committed", "done"]
    assert lines[3]["errors_by_class"] == {"NullValue": 1}
    assert objects(tandem(*retry, "--metrics-port", "70000"))[-1]["exit_code"] == 2


def test_the_job_file_may_ask_for_it(folder: Folder, tmp_path: Path) -> None:
    put_table(folder, "in/a.parquet", texts(5))
    places = f"input: {folder.url}in/\noutput: {folder.url}out/\n"
    (tmp_path / "job.yaml").write_text(f"model: {OWN}WordCount\n{places}log: json\n")
    assert objects(tandem("run", str(tmp_path / "job.yaml")))[-1]["event"] == "done"


@pytest.mark.parametrize("words", [("--log", "json"), ("--log=json",)])
def test_a_mistake_is_one_object_with_its_exit_code(words: tuple[str, ...]) -> None:
    end = tandem("run", *words, "--frobnicate")
    (line,) = objects(end)
    assert end.code == 2
    assert (line["level"], line["event"], line["exit_code"]) == ("error", "failed", 2)
    assert line["message"].startswith("No such option '--frobnicate'")


@pytest.mark.parametrize("mistake", ["frobnicate: 1", "model: [", "limit: many"])
def test_a_mistake_in_a_job_file_that_asks_for_it_is_an_object(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "job.yaml").write_text(f"log: json\n{mistake}\n")
    (line,) = objects(tandem("run", str(tmp_path / "job.yaml")))
    assert (line["event"], line["exit_code"]) == ("failed", 2)
    assert "job.yaml: " in line["message"]


def test_a_failed_job_ends_in_an_object(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"body": ["a"]}))
    end = tandem(*job(folder, "--log", "json"))
    last = objects(end)[-1]
    assert (end.code, last["level"], last["exit_code"]) == (2, "error", 2)
    assert "lacks text (string)" in last["message"]


def test_being_asked_to_stop_is_said_in_objects(folder: Folder) -> None:
    for number in range(40):
        put_table(folder, f"in/p={number}/a.parquet", texts(20))
    with started(*job(folder, "--log", "json", model=f"{OWN}SlowArithmetic"), **PATIENT) as process:
        wait_for(lambda: any((Path(folder.folder) / "out").glob("p=*/part-*")), process)
        process.send_signal(signal.SIGTERM)
        lines = objects(end := ended(process))
    assert end.code == 75
    assert any("SIGTERM: the shard in hand" in line.get("message", "") for line in lines)
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("failed", 75)


@pytest.mark.parametrize("said_in", ["flag", "file"])
def test_the_guardians_last_word_is_an_object(folder: Folder, tmp_path: Path, said_in: str) -> None:
    """A job whose process is killed again and again is given up by the process in front of it."""
    put_table(folder, "in/a.parquet", texts(5))
    file = tmp_path / "job.yaml"
    file.write_text("log: json\n")
    command, *words = job(folder, model=f"{OWN}StillbornModel")
    end = tandem(command, *([str(file)] if said_in == "file" else ["--log", "json"]), *words)
    last = objects(end)[-1]
    assert (end.code, last["event"], last["exit_code"]) == (75, "failed", 75)
    assert "the job ended early: its process" in last["message"]


def test_what_nobody_caught_and_what_libraries_warn_of_are_objects() -> None:
    code = (
        "import warnings\n"
        "from batch.observe.log_lines import set_up_logging\n"
        "set_up_logging('json')\n"
        "warnings.warn('old')\n"
        "raise RuntimeError('a fault\\nof ours')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment({}), timeout=60
    )
    warned, crashed = objects(Ended(code=found.returncode, out=found.stdout, err=found.stderr))
    assert found.returncode == 1
    assert "old" in warned["message"]
    assert crashed["level"] == "critical"
    assert "RuntimeError: a fault" in crashed["traceback"]


def test_without_it_lines_are_for_people_and_leave_out_what_is_for_machines(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    put_table(folder, "in/a.parquet", texts(5))
    with caplog.at_level(logging.INFO, logger="tandem"):
        run_job({"model": f"{OWN}WordCount", "input": f"{folder.url}in/", "output": f"{folder.url}out/"})
    (line,) = [text for record in caplog.records if (text := record.getMessage()).startswith("committed ")]
    assert [word.partition("=")[0] for word in line.split()] == ["committed", "shard", "rows", "errors", "seconds"]


def test_no_fact_hides_when_what_and_how_grave() -> None:
    line = json.loads(json_line("INFO", "done", {"time": 1, "level": 2, "event": 3, "rows": 4}, at=0.0))
    assert line == {"time": "1970-01-01T00:00:00.000+00:00", "level": "info", "event": "done", "rows": 4}


def test_the_last_word_counts() -> None:
    assert asks_for_json(["run", "--log", "text", "--log", "json"])
    assert not asks_for_json(["run", "--log", "json", "--log", "text"])
    assert not asks_for_json(["run", "--where", "json"])


def wait_for(condition: Any, process: subprocess.Popen[str], within_s: float = 60.0) -> None:
    ends = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.05)
