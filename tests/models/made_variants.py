"""Models of the zoo with variants, made once for all tests, and copied to where a test may damage them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from models import zoo
from models.load import load_model
from models.optimize import Optimized, optimize_model
from models.samples import TEXTS
from models.zoo.datasets import DATA

ZOO = Path(zoo.__file__).parent
Make = Callable[..., Optimized]


def copy_model(name: str, into: Path) -> Path:
    """A folder of the test's own with a model of the zoo, without variants."""
    return Path(shutil.copytree(ZOO / name, into / name, ignore=shutil.ignore_patterns("variants")))


def rows_of(name: str, rows: int) -> list[Any]:
    """Rows of a model's kind, all of them different, short and long."""
    if name == "fashion-resnet":
        return list(pq.read_table(DATA / "fashion.parquet").column("image").slice(0, rows).to_pylist())
    if name == "vowels-bilstm":
        return list(pq.read_table(DATA / "vowels.parquet").column("steps").slice(0, rows).to_pylist())
    words = " ".join(TEXTS[:4]).split()
    return [f"{row} " + " ".join(words[(row + i) % len(words)] for i in range(1 + 7 * row % 40)) for row in range(rows)]


def optimize(folder: Path, runtime: str, precision: str, *, rows: int = 40, **settings: Any) -> Optimized:
    """Make a variant with few rows; `folder` is named as the model of the zoo that it holds."""
    values = rows_of(folder.name, rows)
    return optimize_model(
        str(folder), runtime=runtime, precision=precision, calibration=values[: rows // 2],
        held_out=values[rows // 2 :], rows_from="the tests", threads=1, **settings,
    )  # fmt: skip


@functools.cache
def made(name: str, runtime: str, precision: str) -> Path:
    """A model with that one variant, whatever its answers are; not to be changed."""
    folder = copy_model(name, Path(tempfile.mkdtemp(prefix="tandem-made-")))
    optimize(folder, runtime, precision, tolerance=1.0)
    return folder


def copy_made(name: str, runtime: str, precision: str, into: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made(name, runtime, precision), into / name))


def scores(folder: Path, rows: list[Any], **how: Any) -> list[dict[str, float]]:
    """What a variant answers."""
    return [dict(answer["scores"]) for answer in load_model(str(folder), threads=1, **how).predict(rows)]
