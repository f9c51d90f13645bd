"""`make chaos`: as many cases as are asked for, two at a time, each printed with its seed.

CHAOS_RUNS cases (300) from CHAOS_SEED on (by default the clock's), in at most CHAOS_MINUTES (40): the exit code is 1
where one of them fails or is not reached. CHAOS_SEED=SEED CHAOS_RUNS=1 plays one again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from tests.chaos.cases import draw_case
from tests.chaos.play import Played, Reference, measure, play
from tests.chaos.server import serving

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RUNS = int(os.environ.get("CHAOS_RUNS") or 300)
SEED = int(os.environ.get("CHAOS_SEED") or time.time_ns() // 1_000_000 % 10**9)
MINUTES = float(os.environ.get("CHAOS_MINUTES") or 40)
LANES = int(os.environ.get("CHAOS_LANES") or 2)


def play_one(seed: int, reference: Reference, client: S3Client, url: str, until: float) -> Played | None:
    """Play a case and print a line of it; None where it failed or the time is up."""
    if time.monotonic() > until:
        return None
    case = draw_case(seed)
    with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as folder:
        try:
            played = play(case, reference, client, url, Path(folder))
        except Exception:
            print(f"{seed}  {case.kind}: FAILED\n{case}\n{traceback.format_exc()}", flush=True)
            return None
    did = "; ".join(played.blows) or "nothing in time"
    faults = f", {played.faults} faults" if played.faults else ""
    print(f"{seed}  {case.kind}: {did}{faults}; {played.runs} runs, {played.seconds:.1f} s", flush=True)
    return played


def main() -> int:
    began = time.monotonic()
    print(f"CHAOS_SEED={SEED} CHAOS_RUNS={RUNS}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-chaos-") as name, serving(Path(name)) as url:
        client = boto3.client("s3", endpoint_url=url)
        (Path(name) / "reference").mkdir()
        reference = measure(client, url, Path(name) / "reference")
        until = began + 60 * MINUTES
        pool = ThreadPoolExecutor(LANES)
        try:
            playing = [pool.submit(play_one, seed, reference, client, url, until) for seed in range(SEED, SEED + RUNS)]
            found = [one.result() for one in playing]
        finally:
            pool.shutdown(cancel_futures=True)  # where somebody interrupts, only the cases under way are waited for
    good = [played for played in found if played is not None]
    moments = Counter(blow for played in good for blow in played.blows)
    for moment, times in sorted(moments.items()):
        print(f"  {times:>4}  {moment}")
    minutes = (time.monotonic() - began) / 60
    runs, faults = sum(played.runs for played in good), sum(played.faults for played in good)
    twice = sum(played.computed_twice for played in good)
    print(
        f"{len(good)} of {RUNS} with nothing lost and nothing twice: {runs} runs, {sum(moments.values())} blows, "
        f"{faults} faults, {twice} shards computed twice; {minutes:.1f} minutes; CHAOS_SEED={SEED}"
    )
    return 0 if len(good) == RUNS else 1


if __name__ == "__main__":
    sys.exit(main())
