"""The supervisor, as BentoML's own with our rules."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.supervise.arbiter import make_arbiter, told_of_ends, told_of_the_missing
from service.supervise.ends import read_end
from service.supervise.settings import SuperviseSettings
from tests.service.processes import wait_until


@pytest.fixture
def arbiter() -> Iterator[Any]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    arbiter = make_arbiter([], SuperviseSettings.read({}))
    yield arbiter
    arbiter.exit_stack.close()
    asyncio.set_event_loop(None)
    loop.close()


def test_while_processes_are_started_it_does_not_look_after_them(arbiter: Any) -> None:
    """Circus would raise, and its event loop log that with a traceback: in every start that takes a while."""
    arbiter._exclusive_running_command = "arbiter_start_watchers"
    assert arbiter.manage_watchers() is None


#: Its first thread ends, and a second later the other: until then it looks dead, and nobody can be told how it ended.
HALF_DEAD = """
import ctypes, os, platform, threading, time
def end():
    time.sleep(1)
    os._exit(7)
threading.Thread(target=end).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
"""


class ForgetfulWatcher:
    """One process, which circus's watcher drops as it looks dead."""

    name, respawn = "slot", True

    def __init__(self, *, stopped: bool = False) -> None:
        self.is_stopped = lambda: stopped
        process = subprocess.Popen([sys.executable, "-c", HALF_DEAD])
        self.pid = process.pid
        self.processes = {process.pid: process}

    def is_stopping(self) -> bool:
        return False

    def reap_process(self, pid: int, status: int | None = None) -> None:
        self.processes.pop(pid).wait()

    async def manage_processes(self) -> None:
        wait_until(lambda: "State:\tZ" in Path(f"/proc/{self.pid}/status").read_text(), "it looks dead", within_s=30)
        del self.processes[self.pid]


def test_one_that_is_stopped_keeps_no_process_for_then_the_server_would_never_end(tmp_path: Path) -> None:
    watcher: Any = ForgetfulWatcher(stopped=True)
    process = watcher.processes[watcher.pid]
    watcher.reap_process = told_of_ends(watcher, tmp_path)
    watcher.manage_processes = told_of_the_missing(watcher)

    async def look() -> None:
        await watcher.manage_processes()

    asyncio.run(look())
    assert not watcher.processes
    assert process.wait(30) == 7


def test_how_a_process_ended_is_told_however_long_its_threads_take(tmp_path: Path) -> None:
    watcher: Any = ForgetfulWatcher()
    watcher.reap_process = told_of_ends(watcher, tmp_path)
    watcher.manage_processes = told_of_the_missing(watcher)

    async def look() -> None:
        while watcher.processes:
            await watcher.manage_processes()
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(look(), 30))
    assert read_end(tmp_path, watcher.pid, within_s=0) == "ended itself with exit code 7"
