"""What the kernel says of a server's processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil


def processes_of(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def held_bytes(processes: list[psutil.Process]) -> int:
    """What they hold of memory that is theirs alone."""
    return sum(int(process.memory_info().rss - process.memory_info().shared) for process in processes)


def listening_ports(processes: list[psutil.Process]) -> set[int]:
    """The TCP ports at which any of them listens, as /proc/net has them."""
    inodes: set[str] = set()
    for process in processes:
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found


def is_gone(process: psutil.Process) -> bool:
    """Whether it runs no more; nobody may have asked yet how it ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(holds: Callable[[], bool], what: str, *, within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.05)
