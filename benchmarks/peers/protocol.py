"""The one protocol of all sides: JSON lines on stdin and stdout, one job at a time.

    start:  python -m benchmarks.peers.NAME '{"settings": ...}'
    said:   {"said": "ready", "versions": {...}, "settings": {...}, "load_s": 1.2}
    asked:  {"ask": "go", "input": "rows.parquet", "output": "predictions.parquet"}
    said:   {"said": "done", "load_s": 0.9, "seconds": 8.1, "rows": 400, "peak_mb": 812.0, "facts": {...}}
    asked:  {"ask": "end"}

Until "ready" libraries are imported, files are in the page cache, and settings are chosen; none of that is timed. Each
"go" loads the model anew (`load_s`), then reads, predicts and writes (`seconds`, without the load). Nothing but
the standard library is imported here, so that it runs in every environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

Settings = Mapping[str, Any]
#: Reads the rows of the first path, writes predictions with their ids to the second; returns facts worth keeping.
Job = Callable[[str, str], Mapping[str, Any]]
#: Loads the model. The job it returns is run once, then let go.
Load = Callable[[Settings], Job]


def serve(load: Load, *, packages: list[str], choose: Callable[[Settings], Settings] | None = None) -> None:
    """Speak the protocol until asked to end.

    Args:
        load: makes a job; called once before "ready" and once for each "go".
        packages: whose versions are said.
        choose: settles settings before anything else, such as the best batch size of a grid.
    """
    say = claim_stdout()
    settings: Settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    if choose is not None:
        settings = choose(settings)
    started = time.perf_counter()
    job = load(settings)
    load_s = time.perf_counter() - started
    if warm := settings.get("warm_input"):
        job(warm, settings["warm_output"])
    del job
    answer(say, said="ready", versions=versions(packages), settings=settings, load_s=load_s)
    for line in sys.stdin:
        request = json.loads(line)
        if request["ask"] == "end":
            return
        reset_peak()
        started = time.perf_counter()
        job = load(settings)
        loaded = time.perf_counter()
        facts = dict(job(request["input"], request["output"]))
        done = time.perf_counter()
        del job
        seconds = facts.pop("seconds", done - loaded)
        load_s = facts.pop("load_s", loaded - started)
        rows, peak = facts.pop("rows"), facts.pop("peak_mb", peak_mb())
        answer(say, said="done", load_s=load_s, seconds=seconds, rows=rows, peak_mb=peak, facts=facts)


def claim_stdout() -> TextIO:
    """Keep stdout for the protocol: whatever a library prints goes to stderr."""
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


def answer(say: TextIO, **content: Any) -> None:
    say.write(json.dumps(content) + "\n")
    say.flush()


def versions(packages: list[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def reset_peak() -> None:
    """Begin the peak anew, so that one job's memory is not another's; where the kernel refuses, peaks only grow."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak resident memory of this process and of its living children, summed: pages that they share count again."""
    return sum(map(peak_of, tree(os.getpid())))


def tree(pid: int) -> list[int]:
    """A process and all that it started, as far as they live."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def peak_of(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
