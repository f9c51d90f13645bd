"""Side: one server of the comparison, started on one core, asked over HTTP, ended with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import missing, python_of
from benchmarks.online.http import ask_once
from benchmarks.peer_process import PeerFailed, environment, without_folders

ROOT = Path(__file__).resolve().parents[2]
START_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One server.

    Attributes:
        name: as the tables show it.
        environment: whose interpreter runs it (benchmarks/environments.py).
        command: port -> what follows the interpreter.
        path: that requests are posted to.
        body: a text -> the JSON that asks for its vector.
        vector: the JSON of an answer -> the vector; raises where it holds none.
        variables: of its process.
        settings: what was set, as the page shows it.
    """

    name: str
    environment: str
    command: Callable[[int], Sequence[str]]
    path: str
    body: Callable[[str], Any]
    vector: Callable[[Any], Sequence[float]]
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers.

    Attributes:
        pid: of the process that was started; others are below it.
    """

    side: Side
    port: int
    pid: int

    def held_mb(self) -> float:
        """What all its processes hold now (PSS: shared pages are counted once)."""
        return sum(pss_mb(pid) for pid in group(self.pid))

    def threads(self) -> int:
        return sum(threads_of(pid) for pid in group(self.pid))

    def cpu_s(self) -> float:
        """Processor seconds that its living processes have used."""
        return sum(cpu_of(pid) for pid in group(self.pid))


@contextlib.contextmanager
def serving(side: Side, cores: Sequence[int]) -> Iterator[Running]:
    """Start a server on these cores and wait for its first answer.

    Raises:
        PeerFailed: its environment is missing, or it does not answer.
    """
    if reason := missing(side.environment):
        raise PeerFailed(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="tandem-bench-", ignore_cleanup_errors=True) as home:
        log = Path(home) / "log"
        variables = environment() | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        variables |= {"BENTOML_HOME": home, **side.variables}
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    [str(python_of(side.environment)), *side.command(port)],
                    cwd=ROOT, env=variables, stdout=stream, stderr=stream, start_new_session=True,
                )  # fmt: skip
        finally:
            os.sched_setaffinity(0, before)
        try:
            wait_ready(side, port, process, log)
            yield Running(side=side, port=port, pid=process.pid)
        finally:
            end_group(process)


def wait_ready(side: Side, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + START_S
    body = json.dumps(side.body("Is anybody there?")).encode()
    while True:
        reply = ask_once(port, side.path, body, timeout_s=10)
        if reply.status == 200:
            side.vector(json.loads(reply.body))
            return
        if process.poll() is not None or time.monotonic() > ends:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise PeerFailed(without_folders((lines or [f"no answer (status {reply.status})"])[-1])[:300])
        time.sleep(0.3)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; what is left after 20 s of it and of what it started is killed."""
    below = group(process.pid)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def group(leader: int) -> list[int]:
    """A process and the living ones below it, as far as they have not been left to the system."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(path.parent.name)] = int(fields[1])
    found = [leader] if leader in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def pss_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def threads_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    return 0


def cpu_of(pid: int) -> float:
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def bentoml_script() -> str:
    return str(Path(sys.executable).with_name("bentoml"))
