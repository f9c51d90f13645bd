"""Row sets that are no text: garments, photos with crops of them, spoken vowels."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.data import SEED, RowSet, bench_cache, describe_rows, write_groups, write_whole
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
#: Images of Fashion-MNIST; copies of them have noise of so many grey levels of 256.
GARMENTS, MOST_GREY = 70_000, 3


def fashion_rows(rows: int, *, row_group_rows: int = 10_000) -> RowSet:
    """Fashion-MNIST as PNG, the test set first: id, image; more rows than it has images are copies with noise.

    Made row group by row group, so that a million rows do not lie in memory: a minute for them.
    """
    path = bench_cache() / f"fashion-{rows}-by-{row_group_rows}.parquet"
    if not path.is_file():
        images = fashion("test")[0]
        if rows > len(images):
            images = np.concatenate([images, fashion("train")[0]])
        starts = range(0, rows, row_group_rows)
        groups = (_garments(images, start, min(start + row_group_rows, rows)) for start in starts)
        write_groups(groups, path)
    copies = f"; from row {GARMENTS:,} on copies with up to {MOST_GREY} grey levels of noise, every second mirrored"
    copies *= rows > GARMENTS
    return describe_rows(path, f"Fashion-MNIST, 28 x 28, PNG, no image twice{copies}")


def _garments(images: Any, start: int, end: int) -> pa.Table:
    """Rows start to end: row i shows image i modulo their number; every second copy is mirrored, all have noise."""
    rows = np.arange(start, end)
    copies, chosen = rows // len(images), images[rows % len(images)]
    chosen = np.where((copies % 2 == 1)[:, None, None], chosen[:, :, ::-1], chosen)
    noise = np.random.default_rng([SEED, start]).integers(0, MOST_GREY + 1, chosen.shape, np.uint8)
    noise[copies == 0] = 0
    noisy = np.minimum(chosen, 255 - MOST_GREY) + noise
    chosen = np.where((copies == 0)[:, None, None], chosen, noisy)
    encoded = [_encode(Image.fromarray(image), "PNG") for image in chosen]
    return pa.table({"id": pa.array(rows, pa.int64()), "image": pa.array(encoded, pa.binary())})


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
    image.save(sink, kind, **({"quality": 90} if kind == "JPEG" else {"compress_level": 1}))
    return sink.getvalue()
