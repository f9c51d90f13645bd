"""The process of a job: humble, alone, and its end written down."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.jobs import process
from service.jobs.launch import HELD_CODE, LOCK
from service.jobs.process import LAUNCH, exit_code, is_run, running_pid
from tests.service.jobs.wait import wait_until

Launch = Callable[..., subprocess.Popen[bytes]]
WAITS = "import time; time.sleep(60)"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(code: str, priority: str = "idle") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", str(LAUNCH), str(tmp_path), priority, sys.executable, "-c", code]
        started.append(subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE))
        return started[-1]

    yield begin
    for child in started:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.parametrize(("priority", "policy"), [("idle", os.SCHED_IDLE), ("equal", os.SCHED_OTHER)])
def test_it_takes_what_the_operator_says(launch: Launch, priority: str, policy: int) -> None:
    said = launch("import os; print(os.sched_getscheduler(0), open('/proc/self/oom_score_adj').read())", priority)
    assert said.communicate()[0].split() == [str(policy).encode(), b"500"]


@pytest.mark.parametrize(
    ("code", "ended"), [("raise SystemExit(75)", 75), ("pass", 0), ("import os; os.kill(os.getpid(), 9)", -9)]
)
def test_its_end_is_written_down(launch: Launch, tmp_path: Path, code: str, ended: int) -> None:
    launch(code).wait(20)
    assert exit_code(tmp_path) == ended
    assert running_pid(tmp_path) is None


def test_of_two_one_runs_and_whoever_comes_later_sees_it(launch: Launch, tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    launch(WAITS)
    wait_until(lambda: running_pid(tmp_path) is not None)
    assert launch("print('twice')").wait(20) == HELD_CODE
    pid = running_pid(tmp_path)
    assert pid is not None
    process.ask_to_end(pid)
    wait_until(lambda: running_pid(tmp_path) is None)
    assert exit_code(tmp_path) == -signal.SIGTERM


def test_an_earlier_runs_number_is_gone_before_there_is_a_new_one(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    lock.write_text("4194304")
    at_fork = f"import os, runpy; os.fork = lambda: print(repr(open({str(lock)!r}).read()), flush=True) or os._exit(0)"
    begin = f"{at_fork}; runpy.run_path({str(LAUNCH)!r}, run_name='__main__')"
    found = subprocess.run(
        [sys.executable, "-c", begin, str(tmp_path), "idle", "true"], stdout=subprocess.PIPE, check=True, timeout=20
    )
    assert found.stdout == b"''\n"


def test_nobody_waits_for_a_number_that_is_not_written(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert is_run(tmp_path)
        assert running_pid(tmp_path) is None
    assert not is_run(tmp_path)


def test_what_ends_the_servers_children_does_not_end_a_job_and_is_no_second_request(
    launch: Launch, tmp_path: Path
) -> None:
    child = launch(WAITS)
    wait_until(lambda: running_pid(tmp_path) is not None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        child.send_signal(number)
    pid = running_pid(tmp_path)
    assert pid is not None
    assert child.poll() is None
    child.kill()
    child.wait()
    assert running_pid(tmp_path) == pid, "the job holds the lock itself"
    process.end_at_once(pid)
    wait_until(lambda: running_pid(tmp_path) is None)
    assert exit_code(tmp_path) is None
