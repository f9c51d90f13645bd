"""First calls of a shape on OpenVINO, two streams at once: do both answer the same?

    python -m benchmarks.first_calls MODEL.xml --processes 10 [--cache on]

What a process has compiled is compiled for good, so that each try is a process of its own: 128 shapes, each of which
both streams meet at the same moment. With `--cache on` oneDNN's primitive cache is left as it comes; our runtime turns
it off (models/runtimes/primitive_cache.py). MODEL is a text encoder's graph, an OpenVINO variant's or an ONNX file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.runtimes import primitive_cache
from models.runtimes.open_vino import OpenVinoRuntime

SHAPES = [(rows, length) for length in range(8, 129, 8) for rows in (1, 2, 3, 4, 6, 8, 12, 16)]
#: Beyond it two answers to equal rows are not rounding.
SAME = 1e-4


def main() -> None:
    arguments = read_arguments()
    if arguments.seed is not None:
        print(count_wrong(arguments.model, arguments.seed))
        return
    wrong = 0
    for seed in range(arguments.processes):
        command = [sys.executable, "-m", "benchmarks.first_calls", str(arguments.model)]
        command += ["--seed", str(seed), "--cache", arguments.cache]
        wrong += int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{seed + 1} processes, {(seed + 1) * len(SHAPES)} shapes, answered otherwise by one stream: {wrong}",
            flush=True,
        )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_calls", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--cache", choices=("on", "off"), default="off")
    parser.add_argument("--seed", type=int, help="of one process")
    arguments = parser.parse_args()
    if arguments.cache == "on":
        primitive_cache._is_off = True  # so that nobody turns it off
        os.environ.pop(primitive_cache.VARIABLE, None)
    return arguments


def count_wrong(model: Path, seed: int) -> int:
    """The shapes that two streams of this process answer otherwise."""
    runtime = OpenVinoRuntime(model, threads=2, streams=2)
    shapes = np.random.default_rng(seed).permutation(SHAPES).tolist()
    return sum(differ(runtime, rows, length, seed) for rows, length in shapes)


def differ(runtime: OpenVinoRuntime, rows: int, length: int, seed: int) -> bool:
    """Whether two calls that are made at once, twice, give other answers to the same rows."""
    inputs: dict[str, NDArray[Any]] = {name: np.ones((rows, length), np.int64) for name in runtime.input_names}
    inputs["input_ids"] = np.random.default_rng(seed).integers(1000, 2000, (rows, length))
    start = threading.Barrier(2)
    answers: list[list[NDArray[Any]]] = []

    def call() -> None:
        start.wait()
        answers.append(list(runtime.forward(inputs).values()))

    for _ in range(2):
        calls = [threading.Thread(target=call) for _ in range(2)]
        for one in calls:
            one.start()
        for one in calls:
            one.join()
    return any(np.abs(found - answers[0][i]).max() > SAME for answer in answers for i, found in enumerate(answer))


if __name__ == "__main__":
    main()
