"""Rows to try a model with, where its owner names none."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from models.model import Model

LONG_WORDS = 700

TEXTS = (
    "The match was decided in the last minute.",
    "Shares fell.",
    "a",
    "Der Kanzler spricht heute über Brücken, Äpfel und Straßen.",
    "東京の株価は今日上がりました。",
    "Сегодня хорошая погода, и мы идём в парк.",
    "مرحبا بالعالم",
    "naïve café — “quotes”, emoji 🚀🚀, and\ttabs\nand lines",
    "What a wonderful, excellent and brilliant film; I loved it!",
    "A terrible, boring and awful evening. I hated every minute.",
)

#: Width and height, mode, file format.
PICTURES = (
    (28, 28, "L", "PNG"),
    (64, 48, "RGB", "PNG"),
    (48, 64, "RGB", "JPEG"),
    (33, 97, "RGBA", "PNG"),
    (120, 90, "P", "GIF"),
    (31, 31, "1", "PNG"),
    (50, 40, "CMYK", "JPEG"),
    (224, 224, "RGB", "WEBP"),
)

STEPS = (1, 2, 3, 7, 16, 17, 33)


def default_samples(model: Model) -> list[Any]:
    """Rows of the model's kind: texts with a long one and several scripts, pictures of several sizes and modes, or
    sequences of several lengths. The same at every call; they also make one Arrow column.
    """
    kind = model.spec.inputs[0].kind
    if kind == "text":
        words = " ".join(TEXTS).split()
        return [*TEXTS, " ".join(words[i % len(words)] for i in range(LONG_WORDS))]
    if kind == "image":
        return make_pictures(fixed_size(model))
    return make_sequences(model)


def fixed_size(model: Model) -> tuple[int, int] | None:
    """(height, width) that a picture must have, where neither resizing nor cropping gives it."""
    preprocess = model.spec.preprocess
    height, width = getattr(model, "image_size", (None, None))
    if height is None or width is None or (preprocess and (preprocess.resize or preprocess.crop)):
        return None
    return height, width


def make_pictures(size: tuple[int, int] | None) -> list[bytes]:
    """Encoded pictures with something to see in them."""
    pictures = []
    for seed, (width, height, mode, kind) in enumerate(PICTURES):
        height, width = size or (height, width)
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        (picture.quantize(32) if mode == "P" else picture.convert(mode)).save(file, kind)
        pictures.append(file.getvalue())
    return pictures


def make_sequences(model: Model) -> list[Any]:
    """Sequences around the mean that the model normalises by; lists of numbers where a step is one number."""
    rng = np.random.default_rng(0)
    channels: int = getattr(model, "channels", 1)
    normalize = getattr(model, "normalize", None)
    mean, std = (np.asarray(normalize.mean), np.asarray(normalize.std)) if normalize else (0.0, 1.0)
    rows = [(rng.normal(size=(steps, channels)) * std + mean).tolist() for steps in STEPS]
    return [[step[0] for step in row] for row in rows] if channels == 1 else rows
