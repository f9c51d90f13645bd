"""`make storm`: three machines of an array, one of them killed every ten seconds for two minutes and started again.

Prints what the storm wasted of the arithmetic; the exit code is 1 where that is more than 15 %, or where a row is lost
or double. STORM_SEED draws who is killed, STORM_SHARDS how many shards of about a second there are (300).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import boto3

from tests.batch.array_job import NOTES, ROW_S, asked, assert_once, machine, put_shards
from tests.batch.places import Bucket, part_keys
from tests.chaos.processes import Run, send
from tests.chaos.server import serving

MACHINES = 3
ROWS, A_ROW_S = 100, 0.01
EVERY_S, STORM_S = 10.0, 120.0
#: What may be wasted, and how long the rest may take.
WASTED, PATIENCE_S = 0.15, 900.0
SEED = int(os.environ.get("STORM_SEED") or time.time_ns() // 1_000_000 % 10**9)
SHARDS = int(os.environ.get("STORM_SHARDS") or 300)


def storm(place: Bucket, notes: Path) -> int:
    """Run the machines through the storm; how many were killed."""
    draw, killed = random.Random(SEED), 0
    settings = {NOTES: str(notes), ROW_S: str(A_ROW_S)}
    runs = [Run(machine(place, index, MACHINES), **settings) for index in range(MACHINES)]
    began = struck = time.monotonic()
    try:
        while any(run.process.poll() is None for run in runs):
            now = time.monotonic()
            assert now < began + PATIENCE_S, f"not done in {PATIENCE_S:.0f} s"
            if now - struck >= EVERY_S and now - began <= STORM_S + 1:
                struck, index = now, draw.randrange(MACHINES)
                if runs[index].process.poll() is None:
                    for process in runs[index].family():
                        send(process, signal.SIGKILL)
                    runs[index].destroy()
                    killed += 1
                    runs[index] = Run(machine(place, index, MACHINES), **settings)
                    print(f"  {now - began:5.0f} s  killed machine {index}; {len(part_keys(place))} parts", flush=True)
            time.sleep(0.1)
        for run in runs:
            ended = run.end()
            assert ended.code == 0, ended.err[-2000:]
    finally:
        for run in runs:
            run.destroy()
    return killed


def main() -> int:
    print(f"STORM_SEED={SEED} STORM_SHARDS={SHARDS}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-storm-") as name, serving(Path(name)) as url:
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket="storm")
        place, notes = Bucket("storm", client), Path(name) / "notes"
        put_shards(place, SHARDS, rows=ROWS)
        began = time.monotonic()
        killed = storm(place, notes)
        assert_once(place, SHARDS, rows=ROWS)
        seconds, wasted = time.monotonic() - began, asked(notes).total() / (SHARDS * ROWS) - 1
    share = f"{100 * wasted:.1f} % of the arithmetic wasted"
    print(f"nothing lost and nothing twice: {killed} kills, {seconds:.0f} s; {share}; STORM_SEED={SEED}")
    return 0 if wasted <= WASTED else 1


if __name__ == "__main__":
    sys.exit(main())
