"""transformers' image processor and model in a plain loop, for images of one channel, which its pipeline refuses.

Settings: `model` (folder), `grid_input` and `grid_rows` (Parquet: the best batch size over its first so many rows is
chosen before "ready"), or `batch_size`. (The pipeline makes every image RGB, and the processor then misses two means.)
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, read_rows, write_labels

SIZES = (1, 8, 32, 128)


def load(settings: Settings) -> Job:
    """Load processor and model as the documentation does."""
    answer, names = open_model(settings["model"])

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, "image")
        return write_labels(target, ids, *best_labels(answer(values, settings["batch_size"]), names))

    return job


def open_model(folder: str) -> tuple[Callable[[list[bytes], int], Any], list[str]]:
    """What answers images in batches of a size with logits, (rows, labels); and the labels."""
    import numpy as np
    import torch
    import transformers
    from PIL import Image

    processor = transformers.AutoImageProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    model = transformers.AutoModelForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(values: list[bytes], size: int) -> Any:
        logits = []
        with torch.inference_mode():
            for start in range(0, len(values), size):
                opened = (Image.open(io.BytesIO(value)) for value in values[start : start + size])
                images = [np.asarray(image)[:, :, None] for image in opened]
                inputs = processor(images, return_tensors="pt", input_data_format="channels_last")
                logits.append(model(**inputs).logits.numpy())
        return np.concatenate(logits)

    return answer, [model.config.id2label[number] for number in range(model.config.num_labels)]


def choose(settings: Settings) -> Settings:
    """The best batch size of a grid, over a part of the rows."""
    if "batch_size" in settings:
        return settings
    values = read_rows(settings["grid_input"], "image")[1][: settings["grid_rows"]]
    answer, _ = open_model(settings["model"])
    answer(values[:8], 8)
    timed = {}
    for size in SIZES:
        started = time.perf_counter()
        answer(values, size)
        timed[size] = time.perf_counter() - started
    tried = [{"batch_size": size, "rows_per_s": round(len(values) / seconds, 1)} for size, seconds in timed.items()]
    return {**settings, "batch_size": min(timed, key=lambda size: timed[size]), "tried": tried}


if __name__ == "__main__":
    serve(load, packages=["transformers", "torch", "pillow"], choose=choose)
