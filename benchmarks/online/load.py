"""Load: requests as they come in life, from a process of its own on a core of its own.

Open loop: arrivals are a Poisson process of a given rate, whether what came before is answered or not. The same seed
gives every side the same arrivals and the same texts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.online.http import Pool
from benchmarks.peer_process import PeerFailed

ROOT = Path(__file__).resolve().parents[2]
Kind = Literal["poisson", "lone", "burst"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request: when it was sent, by the seconds since the load began; how it ended; after how many seconds."""

    sent_s: float
    status: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent.

    Attributes:
        kind: `poisson` at `rate` a second for `seconds`; `lone`: `count` one after another; `burst`: `count` at once.
        timeout_s: after which a client gives up.
    """

    kind: Kind
    rate: float = 0.0
    seconds: float = 0.0
    count: int = 0
    seed: int = 0
    timeout_s: float = 10.0


def drive(port: int, path: str, bodies: Sequence[bytes], load: Load, cores: Sequence[int]) -> list[Answered]:
    """Send it from a new process on these cores, and wait for every answer.

    Raises:
        PeerFailed: the process of the clients broke down.
    """
    asked = {"port": port, "path": path, "cores": list(cores), "bodies": [body.decode() for body in bodies]}
    asked["load"] = {name: getattr(load, name) for name in Load.__slots__}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.online.load"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        raise PeerFailed(f"the clients: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    return [Answered(sent_s=sent, status=status, seconds=s) for sent, status, s in json.loads(done.stdout)]


async def send(port: int, path: str, bodies: Sequence[bytes], load: Load) -> list[tuple[float, int, float]]:
    """All requests of a load, in the order in which they were sent."""
    chance, pool, began = random.Random(load.seed), Pool(port, path), time.monotonic()
    start = 0 if load.kind == "lone" else chance.randrange(len(bodies))

    async def one(number: int, at_s: float) -> tuple[float, int, float]:
        if (wait := began + at_s - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        sent = time.monotonic() - began
        reply = await pool.post(bodies[(start + number) % len(bodies)], timeout_s=load.timeout_s)
        # From when it was due, not from when this process came to it: a late client hides no waiting.
        return (
            at_s if load.kind == "poisson" else sent,
            reply.status,
            time.monotonic() - began - (at_s if load.kind == "poisson" else sent),
        )

    try:
        if load.kind == "lone":
            return [await one(number, 0.0) for number in range(load.count)]
        if load.kind == "burst":
            return list(await asyncio.gather(*(one(number, 0.0) for number in range(load.count))))
        due, at_s = [], 0.0
        while (at_s := at_s + chance.expovariate(load.rate)) < load.seconds:
            due.append(at_s)
        return list(await asyncio.gather(*(one(number, at) for number, at in enumerate(due))))
    finally:
        pool.close()


def main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.read())
    os.sched_setaffinity(0, asked["cores"])
    gc.disable()
    bodies = [body.encode() for body in asked["bodies"]]
    json.dump(asyncio.run(send(asked["port"], asked["path"], bodies, Load(**asked["load"]))), sys.stdout)


if __name__ == "__main__":
    main()
