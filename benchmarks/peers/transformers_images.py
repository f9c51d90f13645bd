"""transformers' image processor and model in a plain loop, for images of one channel, which its pipeline refuses.

Settings: `model` (folder), `batch_size`. (The pipeline makes every image RGB, and the processor then misses two means.)
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.protocol import Job, Settings, serve
from benchmarks.peers.rows import best_labels, read_rows, write_labels


def load(settings: Settings) -> Job:
    """Load processor and model as the documentation does."""
    import numpy as np
    import torch
    import transformers
    from PIL import Image

    processor = transformers.AutoImageProcessor.from_pretrained(settings["model"])  # type: ignore[no-untyped-call]
    model = transformers.AutoModelForImageClassification.from_pretrained(settings["model"], dtype=torch.float32).eval()
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    size = settings["batch_size"]

    def job(source: str, target: str) -> Mapping[str, Any]:
        ids, values = read_rows(source, "image")
        logits = []
        with torch.inference_mode():
            for start in range(0, len(values), size):
                opened = (Image.open(io.BytesIO(value)) for value in values[start : start + size])
                images = [np.asarray(image)[:, :, None] for image in opened]
                inputs = processor(images, return_tensors="pt", input_data_format="channels_last")
                logits.append(model(**inputs).logits.numpy())
        return write_labels(target, ids, *best_labels(np.concatenate(logits), names))

    return job


if __name__ == "__main__":
    serve(load, packages=["transformers", "torch", "pillow"])
