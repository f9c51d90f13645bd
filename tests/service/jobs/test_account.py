"""How far a job has come, by its own lines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.jobs.account import MOST_LINE_BYTES, Account

TIME = datetime(2026, 11, 1, tzinfo=UTC)


class Log:
    """A job's log that is being written."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds = path, 0

    def tell(self, event: str, **facts: Any) -> None:
        moment = TIME.replace(second=self.seconds).isoformat()
        self.write(json.dumps({"time": moment, "level": "info", "event": event, **facts}) + "\n")

    def write(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(text)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log.jsonl")


def account(log: Log, *, known: dict[str, Any] | None = None, shards_before: int = 0) -> Account:
    return Account(log.path, known=known, shards_before=shards_before)


def test_before_anything_is_planned_there_is_no_progress(log: Log) -> None:
    assert account(log).look() is None


def test_shards_and_errors_are_counted_over_all_runs_and_each_shard_once(log: Log) -> None:
    found = account(log, shards_before=1)
    log.tell("planned", shards=3, rows=40, done_rows=10)
    log.tell("committed", shard="a", rows=10, errors=2)
    log.tell("failed", exit_code=75, message="cut short")
    found.read()
    assert found.exit_code == 75
    found.begin()
    assert (found.exit_code, found.said) == (None, None)
    log.tell("planned", shards=2, rows=40, done_rows=20)
    log.tell("already committed", shard="a")
    log.tell("committed", shard="b", rows=10, errors=1)
    wanted = {"shards": 4, "shards_done": 3, "rows": 40, "rows_done": 30, "error_rows": 3}
    assert wanted.items() <= (found.look() or {}).items()
    assert wanted.items() <= (account(log, shards_before=1).look() or {}).items(), "a server that comes later"


def test_a_finished_job_has_answered_everything_at_the_rate_of_its_run(log: Log) -> None:
    found = account(log)
    log.tell("planned", shards=1, rows=100, done_rows=0)
    log.seconds = 10
    log.tell("committed", shard="a", rows=60, errors=0)  # the filter left 40 rows out
    log.tell("done", rows=60, errors=0, parts=1)
    assert found.look(ended=True) == {
        "shards": 1, "shards_done": 1, "rows": 100, "rows_done": 100, "error_rows": 0, "rows_per_s": 10.0,
        "left_s": None,
    }  # fmt: skip
    assert found.exit_code == 0


def test_a_job_whose_output_was_finished_before_it_has_all_error_rows_of_that(log: Log) -> None:
    known = {"shards": 2, "rows": 20, "rows_done": 20}
    found = account(log, known=known, shards_before=2)
    log.tell("already done", output="out/", errors=3)
    assert {"shards_done": 2, "rows_done": 20, "error_rows": 3}.items() <= (found.look() or {}).items()


def test_a_line_that_is_just_being_written_is_read_when_it_is_there(log: Log) -> None:
    found = account(log)
    log.write('{"event": "planned", "time": "2026-11-01T00:00:00+00:00", "shards": 1, ')
    assert found.look() is None
    log.write('"rows": 5, "done_rows": 0}\n')
    assert (found.look() or {})["rows"] == 5


@pytest.mark.parametrize(
    "line", ["no JSON", "[]", '{"event": "planned"}', '{"event": "metrics"}', "x" * MOST_LINE_BYTES]
)
def test_a_strange_line_is_no_harm(log: Log, line: str) -> None:
    found = account(log)
    log.write(line + "x" * (line[0] == "x") + "\n")
    log.tell("planned", shards=1, rows=5, done_rows=0)
    assert (found.look() or {})["rows"] == 5


def test_the_last_words_are_kept_without_secrets(log: Log) -> None:
    found = account(log)
    log.write("Traceback\nRuntimeError: https://a:secret@host/\n")
    found.read()
    assert found.said == "RuntimeError: https://***@host/"
    log.tell("failed", exit_code=77, message="no access with password=hunter22 \x1b[1m")
    found.read()
    assert found.said == "no access with password=*** \\x1b[1m"


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'tandem_rows{state="planned"} 90.0\ntandem_rows{state="done"} 42.0\n')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_rows_of_the_shard_in_hand_are_counted_by_the_jobs_own_numbers(log: Log, port: int) -> None:
    found = account(log)
    log.tell("metrics", url=f"http://127.0.0.1:{port}/metrics")
    log.tell("planned", shards=1, rows=90, done_rows=0)
    assert (found.look() or {})["rows_done"] == 42
    assert (found.look(ended=True) or {})["rows_done"] == 42


def test_numbers_are_asked_of_the_job_on_this_machine_only(log: Log) -> None:
    found = account(log)
    log.tell("metrics", url="http://10.0.0.1:80/metrics")
    log.tell("planned", shards=1, rows=90, done_rows=0)
    assert (found.look() or {})["rows_done"] == 0
