"""The hand-written loop: whole-batch tokenisation, rows sorted by length, fixed-size batches through a graph file.

Settings: `model` (folder with tokenizer.json), `graph` (file), `runtime` (onnx, openvino), `max_length`, `labels` (of
a classifier), `grid_input` (Parquet: the best of a grid of batch sizes and streams over those rows is chosen before
"ready"; `small_grid` for a quick one), or `batch_size` and `streams`.
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
PART = 192  # rows on which every setting is timed: batches of the whole set, drawn evenly
KEEP, MORE = 2, 600  # so many of the best are timed again on more
SMALL = (4, 8), (2,)  # sizes and streams that came out best wherever the whole grid was tried


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
    chosen = cut(encodings, size)
    answers = graph.run_all([pad([encodings[i] for i in rows], graph.inputs) for rows in chosen])
    restored = np.empty((len(encodings), answers[0].shape[1]), np.float32)
    restored[np.concatenate(chosen)] = np.concatenate(answers)
    return restored


def cut(encodings: list[Any], size: int) -> list[Any]:
    """Row numbers of each batch, the longest rows first."""
    order = np.argsort([-len(encoding) for encoding in encodings], kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def pad(encodings: list[Any], names: Any) -> dict[str, Any]:
    """One batch, padded to its longest row."""
    shape = (len(encodings), max(len(encoding) for encoding in encodings))
    feed = {name: np.zeros(shape, np.int64) for name in names}
    for row, encoding in enumerate(encodings):
        feed["input_ids"][row, : len(encoding)] = encoding.ids
        feed["attention_mask"][row, : len(encoding)] = 1
    return feed


def choose(settings: Settings) -> Settings:
    """The best of the grid, timed on rows that will be asked for: every setting on a part, the best on a larger one.

    A part is batches of the whole set, so that a large batch is padded no more than it will be.
    """
    if "batch_size" in settings:
        return settings
    _, texts = read_rows(settings["grid_input"], "text")
    encodings = read_tokenizer(settings).encode_batch_fast(texts)
    cores = len(os.sched_getaffinity(0))
    sizes, counts = SMALL if settings.get("small_grid") else (SIZES, STREAMS)
    graphs = {n: open_graph(settings["runtime"], settings["graph"], streams=n, cores=cores) for n in counts}
    for streams in counts:
        predict(graphs[streams], encodings[:16], 8)
    timed = trial = {(size, n): clock(graphs[n], encodings, size, PART) for n in counts for size in sizes}
    if len(trial) > KEEP:
        finals = sorted(trial, key=lambda pair: -trial[pair])[:KEEP]
        timed = {(size, n): clock(graphs[n], encodings, size, MORE) for size, n in finals}
    size, streams = max(timed, key=lambda pair: timed[pair])
    tried = [{"batch_size": s, "streams": n, "tokens_per_s": round(pace)} for (s, n), pace in trial.items()]
    return {**settings, "batch_size": size, "streams": streams, "tried": tried}


def clock(graph: Graph, encodings: list[Any], size: int, rows: int) -> float:
    """Tokens a second, padding not counted, over batches drawn evenly from all of them."""
    chosen = draw_evenly(cut(encodings, size), max(rows // size, 4))
    started = time.perf_counter()
    graph.run_all([pad([encodings[i] for i in batch], graph.inputs) for batch in chosen])
    return sum(len(encodings[i]) for batch in chosen for i in batch) / (time.perf_counter() - started)


def draw_evenly(batches: list[Any], count: int) -> list[Any]:
    """So many of them, from the middle of equal stretches; all of them where there are no more."""
    count = min(count, len(batches))
    return [batches[int((number + 0.5) * len(batches) / count)] for number in range(count)]


if __name__ == "__main__":
    serve(load, packages=["onnxruntime", "openvino", "tokenizers", "numpy", "pyarrow"], choose=choose)
