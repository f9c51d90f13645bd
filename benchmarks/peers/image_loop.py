"""The hand-written loop over images: PIL decodes and resizes, batches of a fixed size go through a graph file.

Settings: `model` (folder with config.json and preprocessor_config.json), `graph` (file), `runtime` (onnx, openvino),
`grid_input` and `grid_rows` (Parquet: the best of a grid of batch sizes and streams over its first so many rows is
chosen before "ready"), or `batch_size` and `streams`.
With two streams a thread each decodes its batch and computes it, so that one decodes while the other computes.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.graphs import Graph, open_graph
from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, read_rows, write_labels
from benchmarks.peers.torch_images import prepare

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
STREAMS = (1, 2)
Prepare = Callable[[bytes], Any]


def load(settings: Settings) -> Job:
    """Load the graph; the labels and what is done to an image are the model's own files'."""
    folder = Path(settings["model"])
    labels, to_pixels = read_labels(folder), read_preparation(folder)
    graph = open_here(settings, settings["streams"])

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, "image")
        logits = predict(graph, values, to_pixels, settings["batch_size"])
        return write_labels(target, ids, *best_labels(logits, labels))

    return job


def open_here(settings: Settings, streams: int) -> Graph:
    return open_graph(settings["runtime"], settings["graph"], streams=streams, cores=len(os.sched_getaffinity(0)))


def read_labels(folder: Path) -> list[str]:
    config = json.loads((folder / "config.json").read_text())
    named = config.get("id2label", {})
    return [named[str(number)] for number in range(len(named))] or config["labels"]


def read_preparation(folder: Path) -> Prepare:
    """Bytes to (channels, height, width); grey images are taken in the size that they have."""
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    if stated.get("image_mode") != "L":
        return lambda value: prepare(value, stated)
    mean, std = np.float32(stated["image_mean"][0]), np.float32(stated["image_std"][0])
    return lambda value: prepare_grey(value, np.float32(stated["rescale_factor"]), mean, std)


def prepare_grey(value: bytes, scale: Any, mean: Any, std: Any) -> Any:
    from PIL import Image

    return ((np.asarray(Image.open(io.BytesIO(value)), np.float32) * scale - mean) / std)[None]


def predict(graph: Graph, values: list[bytes], to_pixels: Prepare, size: int) -> Any:
    """Logits, (rows, labels); images are decoded batch by batch."""

    def answer(start: int) -> Any:
        return graph.run({graph.inputs[0]: np.stack([to_pixels(value) for value in values[start : start + size]])})

    starts = range(0, len(values), size)
    if graph.streams == 1:
        return np.concatenate([answer(start) for start in starts])
    with ThreadPoolExecutor(graph.streams) as pool:
        return np.concatenate(list(pool.map(answer, starts)))


def choose(settings: Settings) -> Settings:
    """The best batch size and number of streams of the grid, over a part of the rows."""
    if "batch_size" in settings:
        return settings
    rows = settings["grid_rows"]
    values, to_pixels = read_rows(settings["grid_input"], "image")[1][:rows], read_preparation(Path(settings["model"]))
    paces = dict[tuple[int, int], float]()
    for streams in STREAMS:
        graph = open_here(settings, streams)
        for size in (size for size in SIZES if size * streams * 2 <= len(values)):
            predict(graph, values[: size * streams], to_pixels, size)
            started = time.perf_counter()
            predict(graph, values, to_pixels, size)
            paces[size, streams] = len(values) / (time.perf_counter() - started)
    size, streams = max(paces, key=lambda pair: paces[pair])
    tried = [{"batch_size": s, "streams": n, "rows_per_s": round(pace, 1)} for (s, n), pace in paces.items()]
    return {**settings, "batch_size": size, "streams": streams, "tried": tried}


if __name__ == "__main__":
    serve(load, packages=["onnxruntime", "openvino", "pillow", "numpy", "pyarrow"], choose=choose)
