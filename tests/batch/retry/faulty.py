"""A job with rows at fault, for tests of `tandem retry`: its input, the job, and what became of its error rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from batch.report import Manifest
from batch.retry.retry import retry_job
from batch.run import run_job
from tests.batch.places import Place, put_table, read_output, read_parts

MODELS = "tests.batch.own_models"
OWN = ("--model", f"{MODELS}:MendableModel")
THIRTEEN = " ".join(["word"] * 13)
#: Of each object's 40 rows, in row groups of ten: two that the model raises at, and one null.
BAD, NULL = (7, 31), 20


def put_input(place: Place, *, good: int = 1) -> None:
    """Two objects with rows at fault, and some without, each in a partition of its own."""
    for number in range(2 + good):
        words = [f"row {row}" + " more" * (row % 4) for row in range(40)]
        if number < 2:
            words[BAD[0]] = words[BAD[1]] = THIRTEEN
            words[NULL] = None  # type: ignore[call-overload]
        truth = ["many" if row % 4 > 1 or row in BAD else "few" for row in range(40)]
        ids = range(100 * number, 100 * number + 40)
        table = pa.table({"id": list(ids), "text": words, "truth": truth})
        put_table(place, f"in/p={number}/a.parquet", table, row_group_size=10)


def run(place: Place, model: str = "MendableModel", *, output: str = "out/", **settings: Any) -> Manifest:
    places = {"input": f"{place.url}in/", "output": f"{place.url}{output}"}
    return run_job({"model": f"{MODELS}:{model}", **places, **settings})


def retry(
    place: Place, model: str | None = f"{MODELS}:MendableModel", *, output: str = "out/", **more: Any
) -> Manifest:
    return retry_job(f"{place.url}{output}", model=model, **more)


def errors_of(place: Place) -> Counter[tuple[str, int]]:
    """(class, attempts) -> rows."""
    return Counter((error["class"], error["attempts"]) for error in read_output(place)["error"].to_pylist() if error)


def without_footer(place: Place, output: str) -> dict[str, pa.Table]:
    tables = read_parts(place, output).items()
    return {key.removeprefix(output): table.replace_schema_metadata(None) for key, table in tables}
