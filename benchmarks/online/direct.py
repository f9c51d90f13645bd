"""Direct: the model called in a process, without a server: what a request cannot be faster than.

python -m benchmarks.online.direct TEXTS.json    # seconds of each call, as a JSON list
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.online.contestants import embedder_variables
from benchmarks.peer_process import environment, first_cores

ROOT = Path(__file__).resolve().parents[2]


def call_direct(texts: Sequence[str]) -> list[float]:
    """Seconds of one call for each text, on the first core."""
    with first_cores(1):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.online.direct"],
            input=json.dumps(list(texts)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment() | {"OMP_NUM_THREADS": "1"} | dict(embedder_variables()),
            check=True,
        )
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    from benchmarks.online.servers.embed import Embedder

    embedder, took = Embedder(), []
    texts = json.load(sys.stdin)
    for text in texts[:10]:
        embedder.embed([text])
    for text in texts:
        began = time.perf_counter()
        embedder.embed([text])[0].tolist()
        took.append(time.perf_counter() - began)
    json.dump(took, sys.stdout)


if __name__ == "__main__":
    main()
