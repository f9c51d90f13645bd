"""How a process of the server ended: written by the supervisor, who alone is told, and read by whoever asked it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

#: Names the private folder in which the supervisor writes, in the environment of its processes.
VARIABLE = "TANDEM_ENDS"
#: How often a reader looks.
LOOK_S = 0.01


def describe_end(status: int) -> str:
    """What waitpid said, in words: `ended by SIGSEGV` or `ended itself with exit code 1`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        known = number in set(signal.Signals)
        return f"ended by {signal.Signals(number).name if known else f'signal {number}'}"
    return f"ended itself with exit code {os.WEXITSTATUS(status)}"


def write_end(folder: Path, pid: int, status: int) -> None:
    """Keep how a process ended; whole or not at all."""
    unfinished = folder / f".{pid}"
    unfinished.write_text(describe_end(status), encoding="utf-8")
    unfinished.rename(folder / str(pid))


def read_end(folder: Path, pid: int, *, within_s: float) -> str:
    """How a process ended; waits for the supervisor to notice. Plain `ended` where nothing is known by then."""
    until = time.monotonic() + within_s
    while True:
        try:
            return (folder / str(pid)).read_text(encoding="utf-8")
        except OSError:
            if time.monotonic() >= until:
                return "ended"
            time.sleep(LOOK_S)
