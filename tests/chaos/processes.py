"""Real `tandem` commands and all that they start, found by a mark in their environment whoever their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tests.batch.command import ROOT, Ended, environment
from tests.chaos.cases import Blow

#: No process of a killed command outlives it by more; the shard in hand may be finished first.
OUTLIVES_S = 40.0
MARK = "TANDEM_CHAOS_RUN"


class Run:
    """One `tandem` command under way."""

    def __init__(self, words: tuple[str, ...], **changes: str) -> None:
        self.mark = uuid4().hex
        self.hit: Blow | None = None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "batch.cli.main", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment({**changes, MARK: self.mark}),
        )

    def family(self) -> dict[int, int]:
        """Process -> parent, of every process of this command that lives, multiprocessing's own helper left out."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if folder.name.isdecimal() and wanted in (folder / "environ").read_bytes():
                    if b"resource_tracker" in (folder / "cmdline").read_bytes():
                        continue
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    found[int(folder.name)] = int(status[1])
        return found

    def workers(self) -> list[int]:
        """The processes that have started no other: those that answer rows. The command itself where it does."""
        family = self.family()
        return sorted(family.keys() - set(family.values()))

    def strike(self, blow: Blow, choice: float) -> list[int]:
        """Let the blow fall; the processes that now stand still. Nothing happens where all has ended."""
        family, workers = self.family(), self.workers()
        if self.process.poll() is not None or not workers:
            return []
        self.hit = blow
        worker = workers[int(choice * len(workers))]
        everyone = sorted(family, key=lambda process: (process * 7919) % 13)
        chosen = {"kill a worker": [worker], "pause a worker": [worker], "kill both": everyone, "pause all": everyone}
        chosen["pause the command"] = sorted(family.keys() - set(workers)) or workers
        struck = chosen.get(blow, [self.process.pid])
        paused = blow.startswith("pause")
        number = signal.SIGSTOP if paused else signal.SIGTERM if blow == "terminate" else signal.SIGKILL
        for process in struck:
            send(process, number)
        return struck if paused else []

    def end(self, *, within_s: float = 120.0) -> Ended:
        """Wait for the command, and then for whatever it started.

        Raises:
            AssertionError: one of its processes goes on without it.
        """
        out, err = self.process.communicate(timeout=within_s)
        deadline = time.monotonic() + OUTLIVES_S
        while left := self.family():
            assert time.monotonic() < deadline, f"processes {sorted(left)} go on without their command"
            time.sleep(0.05)
        return Ended(code=self.process.returncode, out=out, err=err)

    def destroy(self) -> None:
        """Leave nothing behind, whatever happened."""
        for process in self.family():
            send(process, signal.SIGKILL)
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()


def send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
