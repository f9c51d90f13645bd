"""The hand-written loop: whole-batch tokenisation, rows sorted by length, fixed-size batches through a graph file.

Settings: `model` (folder with tokenizer.json), `graph` (file), `runtime` (onnx, openvino), `max_length`, `labels` (of
a classifier), `grid_input` (Parquet: the best of a grid of batch sizes and streams over those rows is chosen before
"ready"), or `batch_size` and `streams`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.graphs import Graph, open_graph
from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, normalized, read_rows, write_embeddings, write_labels

SIZES = (1, 2, 4, 8, 16, 32, 64)
STREAMS = (1, 2)
KEEP = 3  # settings that are timed on four times as many rows, after all were timed on a part
PART = 160  # rows of that part, drawn evenly


def load(settings: Settings) -> Job:
    """Load the tokenizer and the graph."""
    cores = len(os.sched_getaffinity(0))
    tokenizer = read_tokenizer(settings)
    graph = open_graph(settings["runtime"], settings["graph"], streams=settings["streams"], cores=cores)

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, texts = read_rows(source, "text")
        answers = predict(graph, tokenizer.encode_batch_fast(texts), settings["batch_size"])
        if "labels" in settings:
            return write_labels(target, ids, *best_labels(answers, settings["labels"]))
        return write_embeddings(target, ids, normalized(answers))

    return job


def read_tokenizer(settings: Settings) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(settings["model"]) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings["max_length"])
    return tokenizer


def predict(graph: Graph, encodings: list[Any], size: int) -> Any:
    """Longest first, so that the largest batch claims the memory once; answers in the order of the rows."""
    order = np.argsort([-len(encoding) for encoding in encodings], kind="stable")
    chosen = [order[start : start + size] for start in range(0, len(order), size)]
    answers = graph.run_all([pad([encodings[i] for i in rows], graph.inputs) for rows in chosen])
    restored = np.empty((len(encodings), answers[0].shape[1]), np.float32)
    restored[order] = np.concatenate(answers)
    return restored


def pad(encodings: list[Any], names: Any) -> dict[str, Any]:
    """One batch, padded to its longest row."""
    shape = (len(encodings), max(len(encoding) for encoding in encodings))
    feed = {name: np.zeros(shape, np.int64) for name in names}
    for row, encoding in enumerate(encodings):
        feed["input_ids"][row, : len(encoding)] = encoding.ids
        feed["attention_mask"][row, : len(encoding)] = 1
    return feed


def choose(settings: Settings) -> Settings:
    """The best of the grid, timed on rows that will be asked for: every setting on a part, the best on a larger one."""
    if "batch_size" in settings:
        return settings
    _, texts = read_rows(settings["grid_input"], "text")
    encodings = read_tokenizer(settings).encode_batch_fast(texts)
    cores = len(os.sched_getaffinity(0))
    graphs = {n: open_graph(settings["runtime"], settings["graph"], streams=n, cores=cores) for n in STREAMS}
    grid = [(size, streams) for streams in STREAMS for size in SIZES]
    part, more = (encodings[:: max(len(encodings) // rows, 1)] for rows in (PART, 4 * PART))
    for streams in STREAMS:
        predict(graphs[streams], part[:16], 8)
    trial = {(size, streams): clock(graphs[streams], part, size) for size, streams in grid}
    finals = sorted(trial, key=lambda pair: trial[pair])[:KEEP]
    timed = {(size, streams): clock(graphs[streams], more, size) for size, streams in finals}
    size, streams = min(timed, key=lambda pair: timed[pair])
    tried = [{"batch_size": s, "streams": n, "rows_per_s": round(len(part) / t, 1)} for (s, n), t in trial.items()]
    return {**settings, "batch_size": size, "streams": streams, "tried": tried}


def clock(graph: Graph, encodings: list[Any], size: int) -> float:
    started = time.perf_counter()
    predict(graph, encodings, size)
    return time.perf_counter() - started


if __name__ == "__main__":
    serve(load, packages=["onnxruntime", "openvino", "tokenizers", "numpy", "pyarrow"], choose=choose)
