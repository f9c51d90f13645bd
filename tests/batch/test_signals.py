"""Being asked to end, whoever asks and whenever: one line, exit code 75, and the shard in hand is committed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from batch.stop import SAME_S
from tests.batch.command import ROOT, Ended, assert_refused, ended, environment, job, tandem
from tests.batch.places import Folder, part_keys, put_table, texts

SLOW = "tests.batch.own_models:SlowArithmetic"
SHARDS = 30

#: A command that is asked to end just when it is about to import a module.
_ASKED = """
import os, sys
module, number, sys.argv[1:] = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
class Asking:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Asking())
from batch.cli.main import main
main()
"""


@contextmanager
def alone(*words: str, terminal: int | None = None, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """A command that leads a group of processes of its own; with a terminal, in a session that is opened for it.

    `changes` are to its environment.
    """
    command = [sys.executable, "-m", "batch.cli.main", *words]
    process = subprocess.Popen(
        command if terminal is None else ["setsid", "--ctty", *command],
        stdin=terminal,
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.PIPE if terminal is None else terminal,
        text=True,
        cwd=ROOT,
        env=environment(changes),
        start_new_session=terminal is None,
    )
    try:
        yield process
    finally:
        process.kill()  # those that it started end with it
        process.communicate()


def wait_for_part(folder: Folder, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not list((Path(folder.folder) / "out").glob("p=*/part-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def slow(folder: Folder) -> Folder:
    for number in range(SHARDS):
        put_table(folder, f"in/p={number:02}/a.parquet", texts(20))
    return folder


def assert_goes_on(slow: Folder) -> None:
    """Some shards were committed and not all; the same command does the others."""
    assert 1 <= len(part_keys(slow)) < SHARDS
    end = tandem(*job(slow, model=SLOW))
    assert end.code == 0, end.err
    assert f"{20 * SHARDS:,} rows in {SHARDS} parts" in end.out


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_group_that_is_asked_as_a_whole_ends_once(slow: Folder, number: signal.Signals, workers: str) -> None:
    """As shells, container runtimes and schedulers do: every process hears it, and some hear it twice."""
    with alone(*job(slow, "--workers", workers, model=SLOW)) as process:
        wait_for_part(slow, process)
        os.killpg(process.pid, number)
        end = ended(process)
    assert_refused(end, 75, f"it was asked to stop by {number.name}", "run the same command again")
    assert end.err.count("the shard in hand is finished and committed first") == 1
    assert_goes_on(slow)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_asks_twice_does_not_wait_for_the_shard_in_hand(
    folder: Folder, number: signal.Signals, workers: str, tmp_path: Path
) -> None:
    """As somebody at a terminal does: every process of the group hears both."""
    for half in range(2):
        rows = pa.table({"text": ["word " * (300 * half + count) for count in range(300)]})
        put_table(folder, f"in/p={half}/a.parquet", rows)  # six seconds of work in one call, which nothing interrupts
    begun = tmp_path / "begun"
    words = job(folder, "--workers", workers, model="tests.batch.own_models:SlowRows")
    with alone(*words, BEGUN=str(begun)) as process:
        deadline = time.monotonic() + 60
        while not begun.exists():  # before it there is no shard in hand to wait for
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, number)
        time.sleep(2 * SAME_S)
        os.killpg(process.pid, number)
        end = ended(process)
    assert_refused(end, 75, "interrupted; run the same command again")
    assert "Traceback" not in end.err
    assert part_keys(folder) == []


def test_a_terminal_that_is_closed_lets_the_shard_in_hand_be_committed(slow: Folder) -> None:
    ours, theirs = pty.openpty()
    with alone(*job(slow, model=SLOW), terminal=theirs) as process:
        os.close(theirs)
        wait_for_part(slow, process)
        os.close(ours)
        assert process.wait(timeout=60) == 75
    assert_goes_on(slow)


def test_whoever_was_started_by_nohup_goes_on(slow: Folder) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a process passes on to those that it starts
    try:
        with alone(*job(slow, "--workers", "2", model=SLOW)) as process:
            wait_for_part(slow, process)
            os.killpg(process.pid, signal.SIGHUP)
            end = ended(process)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert end.code == 0, end.err
    assert len(part_keys(slow)) == SHARDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("module", ["click", "batch.supervise.guardian", "batch.cli.run", "pyarrow", "batch.run"])
def test_before_anything_began_it_ends_at_once_with_a_line(folder: Folder, module: str, number: signal.Signals) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    command = [sys.executable, "-c", _ASKED, module, str(int(number)), *job(folder)]
    found = subprocess.run(
        command, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60, check=False
    )
    end = Ended(code=found.returncode, out=found.stdout, err=found.stderr)
    assert_refused(end, 75, f"asked to end by {number.name}; run the same command again")
    assert end.err.count("\n") == 1
    assert not (Path(folder.folder) / "out").exists()
    assert tandem(*job(folder)).code == 0


def test_ctrl_c_under_any_other_command_is_one_line_too() -> None:
    command = [sys.executable, "-c", _ASKED, "batch.cli.look", str(int(signal.SIGINT)), "schema"]
    found = subprocess.run(
        command, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 75
    assert found.stderr.strip() == "tandem: interrupted; run the same command again"
