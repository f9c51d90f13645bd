"""Soak: 0.7 of capacity for twenty minutes, from the first second on; memory, threads and statuses as time goes by.

    python -m benchmarks.online.soak --minutes 20 --capacity 40

Prints a line a minute and, last, a table; ends with 1 where memory or threads grew, an answer was neither 200 nor
503, or, at half of capacity or less (`--share 0.5`), somebody was refused in the first 30 s. Memory's growth is a line
fitted through the second half: the first one holds what is filled once (caches, arenas).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq

from benchmarks.data import text_rows
from benchmarks.online.contestants import TANDEM, tandem
from benchmarks.online.load import Answered, Load, drive
from benchmarks.online.side import Running, serving
from benchmarks.prepare import prepare_models

SHARE, STEP_S, SAMPLE_S, ROWS = 0.7, 60.0, 10.0, 1200
#: At half of capacity nobody is refused so soon after the start.
HALF, EARLY_S = 0.5, 30.0
#: Of what is held, through the second half: more is growth.
GROWTH_SHARE = 0.02


def watch(running: Running, samples: list[tuple[float, float, int]], stop: threading.Event) -> None:
    """Seconds since the start, MB and threads, until told to stop."""
    began = time.monotonic()
    while not stop.wait(SAMPLE_S):
        samples.append((time.monotonic() - began, running.held_mb(), running.threads()))


def growth(samples: Sequence[tuple[float, float, int]]) -> tuple[float, int]:
    """MB an hour through the second half, and threads at its end over those at its beginning."""
    half = samples[len(samples) // 2 :]
    seconds, megabytes = np.asarray([s for s, _, _ in half]), np.asarray([mb for _, mb, _ in half])
    return float(np.polyfit(seconds, megabytes, 1)[0] * 3600), half[-1][2] - half[0][2]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--share", type=float, default=SHARE, help="of capacity")
    parser.add_argument(
        "--capacity", type=float, required=True, help="requests a second; benchmarks.run online says it"
    )
    options = parser.parse_args()
    prepare_models(lambda what: print(what, flush=True))
    side = tandem(TANDEM, "onnx")
    texts = pq.read_table(text_rows("natural", ROWS).path).column("text").to_pylist()
    bodies = [json.dumps(side.body(text)).encode() for text in texts]
    samples: list[tuple[float, float, int]] = []
    answers: list[Answered] = []
    early = 0
    with serving(side, (0,)) as running:
        stop = threading.Event()
        watcher = threading.Thread(target=watch, args=(running, samples, stop))
        watcher.start()
        try:
            for minute in range(max(round(options.minutes * 60 / STEP_S), 1)):
                load = Load(kind="poisson", rate=options.share * options.capacity, seconds=STEP_S, seed=minute)
                taken = drive(running.port, side.path, bodies, load, (1,))
                answers += taken
                if minute == 0:
                    early = sum(one.status == 503 and one.sent_s < EARLY_S for one in taken)
                said = dict(Counter(one.status for one in taken))
                print(f"minute {minute + 1}: {said}, {samples[-1][1]:.0f} MB, {samples[-1][2]} threads", flush=True)
        finally:
            stop.set()
            watcher.join()
    good = sorted(one.seconds for one in answers if one.status == 200)
    rate, threads = growth(samples)
    print(
        "| requests | statuses | 503 in the first 30 s | p50 ms | p99 ms | MB at first, at half, at last "
        "| MB an hour at last | threads more |"
    )
    print("|---|---|---|---|---|---|---|---|")
    held = ", ".join(f"{samples[at][1]:.0f}" for at in (0, len(samples) // 2, -1))
    p50, p99 = (1000 * good[min(int(part * len(good)), len(good) - 1)] for part in (0.5, 0.99))
    statuses = dict(Counter(one.status for one in answers))
    print(f"| {len(answers)} | {statuses} | {early} | {p50:.0f} | {p99:.0f} | {held} | {rate:+.1f} | {threads:+d} |")
    half = samples[len(samples) // 2 :]
    grew = rate / 3600 * (half[-1][0] - half[0][0]) > GROWTH_SHARE * half[0][1]
    refused_early = early > 0 and options.share <= HALF
    sys.exit(grew or threads > 0 or refused_early or bool(statuses.keys() - {200, 503}))


if __name__ == "__main__":
    main()
