"""Beside: interactive requests while a job of the endpoint runs beside them, in alternation with none.

    python -m benchmarks.online.beside --rounds 3

The server has every core. Interactive requests come at --rate a second. Prints a table: p50 and p99 without and with
the job, and how much of the processors' idle time the job took. Ends with 1 where that is more, or less, than asked.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.data import text_rows
from benchmarks.online.contestants import TANDEM, tandem
from benchmarks.online.goodput import percentile
from benchmarks.online.load import Answered, Load, drive
from benchmarks.online.side import serving
from benchmarks.prepare import prepare_models

ROWS, JOB_ROWS, STEP_S = 1200, 4800, 30.0
#: The p99 that a job may cost, and the least of the idle time that it is to take.
MOST_TIMES, MOST_MORE_MS, LEAST_SHARE = 1.1, 20.0, 0.7


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def processor_s() -> tuple[float, float, float]:
    """Seconds since boot of all processors: busy but not niced, niced, idle."""
    user, nice, system, idle, iowait, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + system) / tick, nice / tick, (idle + iowait) / tick


def stretch(port: int, path: str, bodies: Sequence[bytes], rate: float, seed: int) -> tuple[list[Answered], float]:
    """A stretch of load: the answers, and niced time as a share of what was left by the others."""
    before = processor_s()
    cores = sorted(os.sched_getaffinity(0))
    answers = drive(port, path, bodies, Load(kind="poisson", rate=rate, seconds=STEP_S, seed=seed), cores)
    _, niced, idle = (after - was for after, was in zip(processor_s(), before, strict=True))
    return answers, niced / max(niced + idle, 1e-9)


def milliseconds(answers: Sequence[Answered], part: float) -> float:
    return 1000 * percentile(sorted(one.seconds for one in answers if one.status == 200), part)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online.beside")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=15.0)
    options = parser.parse_args()
    prepare_models(lambda what: print(what, flush=True))
    side = tandem(TANDEM, "onnx")
    bodies = [json.dumps(side.body(text)).encode() for text in
              pq.read_table(text_rows("natural", ROWS).path).column("text").to_pylist()]  # fmt: skip
    found: list[tuple[float, float, float, float, float]] = []
    with tempfile.TemporaryDirectory() as scratch, serving(side, sorted(os.sched_getaffinity(0))) as running:
        for number in range(options.rounds):
            alone, _ = stretch(running.port, side.path, bodies, options.rate, number)
            job = {
                "model": "minilm",
                "input": str(text_rows("natural", JOB_ROWS).path),
                "output": f"{scratch}/out-{number}",
                "runtime": "onnx",
            }
            made = call(running.port, "POST", "/jobs", job)
            while not (call(running.port, "GET", f"/jobs/{made['id']}")["progress"] or {}).get("rows_done"):
                time.sleep(0.5)
            beside, share = stretch(running.port, side.path, bodies, options.rate, number)
            call(running.port, "POST", f"/jobs/{made['id']}/cancel")
            while call(running.port, "GET", f"/jobs/{made['id']}")["status"] == "running":
                time.sleep(0.5)
            line = *(milliseconds(answers, part) for part in (0.5, 0.99) for answers in (alone, beside)), share
            found.append(line)  # type: ignore[arg-type]
            print(" ".join(f"{value:.2f}" for value in line), flush=True)
    print("| | p50 ms alone | p50 ms beside a job | p99 ms alone | p99 ms beside a job | idle time the job took |")
    print("|---|---|---|---|---|---|")
    middle = [statistics.median(line[column] for line in found) for column in range(5)]
    print(f"| median of {len(found)} | " + " | ".join(f"{value:.1f}" for value in middle[:4]) + f" | {middle[4]:.0%} |")

    _, _, p99, p99_beside, share = middle
    sys.exit(p99_beside > MOST_TIMES * p99 + MOST_MORE_MS or share < LEAST_SHARE)


if __name__ == "__main__":
    main()
