"""The hand-written loop over images: PIL decodes and resizes, torch computes, batches of a fixed size.

Settings: `model` (folder of EfficientNet-Lite0 with preprocessor_config.json), `grid_input`, or `batch_size`.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, read_rows, write_labels

SIZES = (1, 2, 4, 8, 16)


def load(settings: Settings) -> Job:
    """Load the network and its labels."""
    network, labels, resize = open_network(Path(settings["model"]))

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, "image")
        logits = predict(network, values, resize, settings["batch_size"])
        return write_labels(target, ids, *best_labels(logits, labels))

    return job


def open_network(folder: Path) -> tuple[Any, list[str], dict[str, Any]]:
    from safetensors.torch import load_file

    from models.networks.efficientnet_lite import EfficientNetLite0

    labels: list[str] = json.loads((folder / "config.json").read_text())["labels"]
    network = EfficientNetLite0(len(labels))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval(), labels, json.loads((folder / "preprocessor_config.json").read_text())


def predict(network: Any, values: list[bytes], resize: dict[str, Any], size: int) -> Any:
    """Logits, (rows, labels); images are decoded batch by batch, as a loop would."""
    import torch

    answers = []
    with torch.inference_mode():
        for start in range(0, len(values), size):
            pixels = np.stack([prepare(value, resize) for value in values[start : start + size]])
            answers.append(network(torch.from_numpy(pixels)).numpy())
    return np.concatenate(answers)


def prepare(value: bytes, resize: dict[str, Any]) -> Any:
    """Bytes to (3, height, width): the shorter side to its size, the middle cut out, scaled and normalised."""
    from PIL import Image

    image = Image.open(io.BytesIO(value)).convert("RGB")
    short, crop = resize["size"]["shortest_edge"], resize["crop_size"]["height"]
    scale = short / min(image.size)
    width, height = (max(int(side * scale), short) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - crop) // 2, (height - crop) // 2
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32) * resize["rescale_factor"]
    mean, std = np.float32(resize["image_mean"]), np.float32(resize["image_std"])
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1))


def choose(settings: Settings) -> Settings:
    """The best batch size of a grid, over a part of the rows."""
    if "batch_size" in settings:
        return settings
    _, values = read_rows(settings["grid_input"], "image")
    network, _, resize = open_network(Path(settings["model"]))
    part = values[:32]
    predict(network, part[:4], resize, 4)
    timed = {}
    for size in SIZES:
        started = time.perf_counter()
        predict(network, part, resize, size)
        timed[size] = time.perf_counter() - started
    tried = [{"batch_size": size, "rows_per_s": round(len(part) / seconds, 1)} for size, seconds in timed.items()]
    return {**settings, "batch_size": min(timed, key=lambda size: timed[size]), "tried": tried}


if __name__ == "__main__":
    serve(load, packages=["torch", "pillow", "safetensors"], choose=choose)
