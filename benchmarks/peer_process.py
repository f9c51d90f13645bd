"""One side as a process of its own: started, asked for a job now and then, ended; every step bounded in time."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.environments import missing, python_of

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S, JOB_TIMEOUT_S = 400.0, 900.0


class PeerFailed(RuntimeError):
    """A side did not start, did not answer, or ended; the page names it with this reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One column of a table.

    Attributes:
        name: as the table shows it.
        module: of benchmarks.peers.
        environment: whose interpreter runs it (environments.py).
        settings: what its script takes; they are shown beside its name.
        needs: a file that must be there, and what makes it.
        cores: how many it and all that it starts may use; None: all of them.
    """

    name: str
    module: str
    environment: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Path, str] | None = None
    cores: int | None = None


class PeerProcess:
    """A running side. Use it as a context manager: it is ended, or killed, however the block is left."""

    def __init__(self, entrant: Entrant, *, scratch: Path) -> None:
        """Start it and wait until it is ready.

        Raises:
            PeerFailed: its environment is missing, or it ended or fell silent before it was ready.
        """
        self.entrant = entrant
        if reason := missing(entrant.environment):
            raise PeerFailed(reason)
        if entrant.needs is not None and not entrant.needs[0].exists():
            raise PeerFailed(f"there is no {entrant.needs[0].name} ({entrant.needs[1]})")
        self.log = scratch / f"{''.join(c if c.isalnum() else '-' for c in entrant.name)}.log"
        command = [str(python_of(entrant.environment)), "-m", f"benchmarks.peers.{entrant.module}"]
        command += [json.dumps(dict(entrant.settings))]
        with self.log.open("wb") as log, first_cores(entrant.cores):
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        try:
            self.ready = self._hear(START_TIMEOUT_S)
        except BaseException:
            self.end()
            raise

    def go(self, source: Path, target: Path) -> dict[str, Any]:
        """One job; returns what the side says of it (see protocol.py).

        Raises:
            PeerFailed: it ended, or did not answer in time.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"ask": "go", "input": str(source), "output": str(target)}) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise PeerFailed(self._why()) from None
        return self._hear(JOB_TIMEOUT_S)

    def end(self) -> None:
        """Ask it to end, and kill it where it does not."""
        if self.process.stdin is not None and self.process.poll() is None:
            try:
                self.process.stdin.write('{"ask": "end"}\n')
                self.process.stdin.close()
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        self.listener.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _hear(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            self.process.kill()
            raise PeerFailed(f"no answer within {timeout_s:.0f} s") from None
        if line is None:
            raise PeerFailed(self._why())
        content: dict[str, Any] = json.loads(line)
        return content

    def _why(self) -> str:
        """The last line that it wrote, which for a Python program is the error."""
        self.process.wait(10)
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return without_folders((lines or ["it ended without a word"])[-1].strip())[:600]


def without_folders(reason: str) -> str:
    """A reason without the folders of this machine."""
    return re.sub(r"(?:/[\w.@+-]+)+/([\w.@+-]+)", r"\1", reason)


@contextlib.contextmanager
def first_cores(count: int | None) -> Iterator[None]:
    """What this thread starts meanwhile may use the first `count` cores only; None: all that this process may."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment() -> dict[str, str]:
    """This process's, without what would bound a side's threads, and offline."""
    bounds = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in bounds}
    quiet = {"HF_HUB_OFFLINE": "1", "BENTOML_DO_NOT_TRACK": "True", "TOKENIZERS_PARALLELISM": "true"}
    return kept | quiet | {"RAY_USAGE_STATS_ENABLED": "0", "ORT_DISABLE_TELEMETRY": "1"}
