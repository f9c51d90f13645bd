"""The hand-written loop over sequences: sorted by length, batches of a fixed size, packed in torch or through ONNX.

Settings: `model` (folder of a recurrent classifier), `runtime` (torch, onnx), `threads`, `grid_input` or `batch_size`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, read_rows, write_labels

SIZES = (1, 8, 32, 128, 512)
THREADS = (1, 2)
GRID_ROWS = 3700
Forward = Callable[[Any, Any], Any]


def load(settings: Settings) -> Job:
    """Load the network; the numbers are normalised as its configuration says."""
    folder = Path(settings["model"])
    config = json.loads((folder / "config.json").read_text())
    forward = open_forward(folder, settings["runtime"], settings["threads"])

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, "steps")
        logits = predict(forward, normalize(values, config), settings["batch_size"])
        return write_labels(target, ids, *best_labels(logits, config["labels"]))

    return job


def open_forward(folder: Path, runtime: str, threads: int) -> Forward:
    """Padded inputs and lengths to logits."""
    if runtime == "onnx":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        kinds = {node.name: np.int32 if "int32" in node.type else np.int64 for node in session.get_inputs()}
        return lambda inputs, lengths: session.run(
            None, {"inputs": inputs, "lengths": lengths.astype(kinds["lengths"])}
        )[0]
    import torch

    from models.networks.recurrent import load_classifier

    torch.set_num_threads(threads)
    network = load_classifier(folder)

    def forward(inputs: Any, lengths: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(inputs), torch.from_numpy(lengths)).numpy()

    return forward


def normalize(values: list[Any], config: Mapping[str, Any]) -> list[Any]:
    stated = config.get("normalize")
    rows = [np.asarray(value, np.float32) for value in values]
    if not stated:
        return rows
    mean, std = np.float32(stated["mean"]), np.float32(stated["std"])
    return [(row - mean) / std for row in rows]


def predict(forward: Forward, rows: list[Any], size: int) -> Any:
    """Logits in the order of the rows."""
    order = np.argsort([-len(row) for row in rows], kind="stable")
    answers = []
    for start in range(0, len(order), size):
        chosen = [rows[i] for i in order[start : start + size]]
        lengths = np.array([len(row) for row in chosen], np.int64)
        inputs = np.zeros((len(chosen), int(lengths.max()), chosen[0].shape[1]), np.float32)
        for row, steps in enumerate(chosen):
            inputs[row, : len(steps)] = steps
        answers.append(forward(inputs, lengths))
    found = np.concatenate(answers)
    restored = np.empty_like(found)
    restored[order] = found
    return restored


def choose(settings: Settings) -> Settings:
    """The best batch size and thread count of a grid, over the first GRID_ROWS rows."""
    if "batch_size" in settings:
        return settings
    folder = Path(settings["model"])
    _, values = read_rows(settings["grid_input"], "steps")
    rows = normalize(values[:GRID_ROWS], json.loads((folder / "config.json").read_text()))
    timed = {}
    for threads in THREADS:
        forward = open_forward(folder, settings["runtime"], threads)
        predict(forward, rows[:32], 8)
        for size in SIZES:
            started = time.perf_counter()
            predict(forward, rows, size)
            timed[size, threads] = time.perf_counter() - started
    size, threads = min(timed, key=lambda pair: timed[pair])
    tried = [{"batch_size": s, "threads": n, "rows_per_s": round(len(rows) / t, 1)} for (s, n), t in timed.items()]
    return {**settings, "batch_size": size, "threads": threads, "tried": tried}


if __name__ == "__main__":
    serve(load, packages=["torch", "onnxruntime", "numpy"], choose=choose)
