"""Cold processes: from the command line to the first file of answers, and the memory of a whole tree of processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer_process import ROOT, PeerFailed, environment
from benchmarks.peers.protocol import peak_of, tree

TIMEOUT_S = 900.0
LOOK_EVERY_S, SAMPLE_EVERY_S = 0.002, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """One process from its start to its end.

    Attributes:
        first_s: until the first file of answers was there.
        seconds: until it had ended.
        peak_mb: the largest sum of what its processes held at their peaks.
    """

    first_s: float
    seconds: float
    peak_mb: float


def tandem_command(*arguments: str) -> list[str]:
    """`tandem ...` of this working tree, as the console script calls it."""
    return [sys.executable, "-c", "from batch.cli.main import main; main()", *arguments]


def run_cold(command: Sequence[str], arrived: Callable[[], bool]) -> Cold:
    """Start a command and watch it.

    Args:
        command: what is started, in the repository's root.
        arrived: whether its first answers are there.

    Raises:
        PeerFailed: it failed, took too long, or left no answers.
    """
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=log, stderr=log)
        first_s, peaks, sampled = 0.0, dict[int, float](), 0.0
        try:
            while process.poll() is None:
                now = time.perf_counter() - started
                if not first_s and arrived():
                    first_s = time.perf_counter() - started
                if now - sampled > SAMPLE_EVERY_S:
                    sampled = now
                    for pid in tree(process.pid):
                        peaks[pid] = max(peaks.get(pid, 0.0), peak_of(pid))
                if now > TIMEOUT_S:
                    raise PeerFailed(f"not done within {TIMEOUT_S:.0f} s")
                time.sleep(LOOK_EVERY_S if not first_s else SAMPLE_EVERY_S / 4)
        finally:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - started
        if process.returncode or not arrived():
            log.seek(0)
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
            raise PeerFailed((lines or ["it ended without a word"])[-1][:240])
    return Cold(first_s=first_s or seconds, seconds=seconds, peak_mb=sum(peaks.values()))


def has_part(folder: Path) -> Callable[[], bool]:
    """Whether a job's output holds a committed part."""
    return lambda: folder.is_dir() and any(True for _ in folder.glob("part-*.parquet"))
