"""Ceiling: the arithmetic alone, every text at hand, no server: what no server of this variant can exceed on this core.

    python -m benchmarks.online.ceiling RUNTIME < TEXTS.json    # texts a second, as JSON

The planner cuts windows of WINDOW texts into its micro-batches, as a lane does; a lane has a few texts at a time and
half a second, and answers over HTTP besides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peer_process import environment, first_cores

ROOT = Path(__file__).resolve().parents[2]
WINDOW = 256


def call_planned(texts: Sequence[str], runtime: str) -> dict[str, Any]:
    """On the first core: `texts_s`, texts a second, and the `variant` that answered."""
    kept = {name: os.environ[name] for name in ("BENTOML_HOME", "TANDEM_MEASURED") if name in os.environ}
    with first_cores(1):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.online.ceiling", runtime],
            input=json.dumps(list(texts)),
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment() | {"OMP_NUM_THREADS": "1"} | kept,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    from models.load import load_model
    from models.window import run_window

    texts: list[str] = json.load(sys.stdin)
    model = load_model("minilm", runtime=sys.argv[1])
    run_window(model, model.encode(texts[:WINDOW]))
    began = time.perf_counter()
    for start in range(0, len(texts), WINDOW):
        run_window(model, model.encode(texts[start : start + WINDOW]))
    print(json.dumps({"texts_s": len(texts) / (time.perf_counter() - began), "variant": model.variant}))


if __name__ == "__main__":
    main()
