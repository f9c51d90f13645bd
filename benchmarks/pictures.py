"""Row sets that are no text: garments, photos with crops of them, spoken vowels."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.data import SEED, RowSet, bench_cache, describe_rows, write_whole
from models.zoo.datasets import DATA, fashion
from models.zoo.fetch import fetch_wheel

SCIKIT_IMAGE = ("scikit-image", "0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af")
PHOTOS = [
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
]
#: Of the copies of a sequence; its numbers are between -2 and 2.
NOISE = 0.01


def fashion_rows(rows: int) -> RowSet:
    """The first images of Fashion-MNIST's test set, and behind them those of its training set, as PNG: id, image."""
    path = bench_cache() / f"fashion-{rows}.parquet"
    if not path.is_file():
        images = fashion("test")[0]
        if rows > len(images):
            images = np.concatenate([images, fashion("train")[0]])
        encoded = [_encode(Image.fromarray(image), "PNG") for image in images[:rows]]
        write_whole(pa.table({"id": pa.array(range(len(encoded)), pa.int64()), "image": encoded}), path)
    return describe_rows(path, "Fashion-MNIST, 28 x 28, PNG, no image twice")


def photo_rows(rows: int) -> RowSet:
    """scikit-image's photos as they are, and crops of them made here, as JPEG: id, image."""
    path = bench_cache() / f"photos-{rows}.parquet"
    if not path.is_file():
        with zipfile.ZipFile(fetch_wheel(*SCIKIT_IMAGE)) as wheel:
            whole = [wheel.read(f"skimage/data/{name}") for name in PHOTOS]
        images = whole[:rows] + _crops(whole, rows - len(whole))
        write_whole(pa.table({"id": pa.array(range(len(images)), pa.int64()), "image": images}), path)
    crops = max(rows - len(PHOTOS), 0)
    return describe_rows(
        path, f"{rows - crops} photos of scikit-image in their own sizes, and {crops} crops of them (JPEG)"
    )


def vowel_rows(copies: int) -> RowSet:
    """JapaneseVowels' test set: id, steps (of 12 coefficients); further copies have noise: no row comes twice."""
    path = bench_cache() / f"vowels-{copies}.parquet"
    if not path.is_file():
        rng = np.random.default_rng(SEED)
        original = [np.asarray(steps) for steps in pq.read_table(DATA / "vowels.parquet").column("steps").to_pylist()]
        rows = [
            (steps + (rng.normal(0, NOISE, steps.shape) if copy else 0.0)).astype(np.float32).tolist()
            for copy in range(copies)
            for steps in original
        ]
        column = pa.array(rows, pa.list_(pa.list_(pa.float32())))
        write_whole(pa.table({"id": pa.array(range(len(rows)), pa.int64()), "steps": column}), path)
    about = "JapaneseVowels' test set, 7 to 29 steps of 12 numbers"
    return describe_rows(path, f"{about}, and {copies - 1} copies with noise of {NOISE} standard deviation")


def _crops(photos: list[bytes], count: int) -> list[bytes]:
    """Pieces of half to all of a photo's width and height, at places drawn by the seed."""
    rng = np.random.default_rng(SEED)
    opened = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos]
    crops = []
    for number in range(max(count, 0)):
        photo = opened[number % len(opened)]
        width, height = (int(side * rng.uniform(0.5, 1.0)) for side in photo.size)
        left, top = int(rng.integers(photo.width - width + 1)), int(rng.integers(photo.height - height + 1))
        crops.append(_encode(photo.crop((left, top, left + width, top + height)), "JPEG"))
    return crops


def _encode(image: Image.Image, kind: str) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return sink.getvalue()
