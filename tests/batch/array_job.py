"""A job for arrays of machines: many shards of rows that take their time, and notes of what each process was asked."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from models.model import MicroBatch
from tests.batch.own_models import MANY, WordCount
from tests.batch.places import Place, put_table, read_json, read_output

MODEL = "tests.batch.array_job:NotedWords"
#: The environment's names for the file of notes, and for the seconds that a row takes.
NOTES, ROW_S = "TANDEM_TEST_NOTES", "TANDEM_TEST_ROW_S"
#: Rows of a shard; no two of them are equal, or they would go through the model once.
ROWS = 20


class NotedWords(WordCount):
    """Counts words at its leisure; each call appends `process rows` to the notes, in one write."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        rows = len(micro_batch.inputs["words"])
        with open(os.environ[NOTES], "ab", buffering=0) as notes:
            notes.write(f"{os.getpid()} {rows}\n".encode())
        time.sleep(float(os.environ.get(ROW_S, "0")) * rows)
        return super().forward(micro_batch)


def put_shards(place: Place, shards: int, *, rows: int = ROWS) -> None:
    """An object a shard."""
    for number in range(shards):
        words = [" ".join(["w"] * (1 + row)) for row in range(rows)]
        put_table(
            place,
            f"in/{number:04}.parquet",
            pa.table({"id": range(number * rows, number * rows + rows), "text": words}),
        )


def command(place: Place, *more: str, output: str = "out/") -> tuple[str, ...]:
    where = ("--input", f"{place.url}in/", "--output", f"{place.url}{output}")
    return ("run", "--model", MODEL, *where, "--shard-mb", "0.000001", *more)


def machine(place: Place, index: int, size: int, *more: str, output: str = "out/") -> tuple[str, ...]:
    """The command of one machine of an array."""
    number = ("--engine", "array", "--array-index", str(index), "--array-size", str(size))
    return command(place, *number, *more, output=output)


def asked(notes: Path) -> Counter[str]:
    """Process -> rows that its model was asked for."""
    found: Counter[str] = Counter()
    for line in notes.read_text().splitlines() if notes.exists() else []:
        process, rows = line.split()
        found[process] += int(rows)
    return found


def assert_once(place: Place, shards: int, *, rows: int = ROWS, output: str = "out/") -> str:
    """Every row is there once, with its answer; returns the manifest's digest."""
    table = read_output(place, output)
    assert sorted(table["id"].to_pylist()) == list(range(shards * rows))
    assert table["label"].to_pylist().count("few") == (MANY - 1) * shards
    manifest = read_json(place, f"{output}_tandem/manifest.json")
    assert (manifest["shards"], manifest["rows"]) == (shards, shards * rows)
    assert f"{output}_SUCCESS" in place.etags(f"{output}_S")
    digest: str = manifest["digest"]
    return digest
