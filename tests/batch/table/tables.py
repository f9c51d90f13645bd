"""What a reader of Delta tables sees: deltalake, which knows nothing of us."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from batch.report import Manifest
from batch.run import run_job
from tests.batch.places import WORD_COUNT, Place

#: moto speaks no TLS; everything else deltalake finds in the environment, as boto3 does.
OPTIONS = {"aws_allow_http": "true", "aws_conditional_put": "etag"}


def run(place: Place, model: str = WORD_COUNT, *, replace: bool = False, **settings: Any) -> Manifest:
    """A job from `in/` to the table `out/`."""
    places = {"model": model, "input": place.url + "in/", "output": place.url + "out/", "table": "delta"}
    return run_job(places | settings, replace=replace)


def opened(place: Place, table: str = "out/", *, version: int | None = None) -> DeltaTable:
    options = OPTIONS if place.url.startswith("s3://") else None
    return DeltaTable(place.url + table, version=version, storage_options=options)


def rows(place: Place, table: str = "out/", *, version: int | None = None) -> pa.Table:
    """Every row of the table, in the order of the input."""
    found: pa.Table = opened(place, table, version=version).to_pyarrow_table()
    return found.sort_by([("_source", "ascending"), ("_row", "ascending")])


def entries(place: Place, table: str = "out/") -> list[list[dict[str, Any]]]:
    """The log: each version's actions."""
    keys = sorted(key for key in place.etags(f"{table}_delta_log/") if key.endswith(".json"))
    return [[json.loads(line) for line in place.get(key).splitlines()] for key in keys]


@contextmanager
def reading(place: Place, seen: list[pa.Table], *, columns: tuple[str, ...] = ("id", "label")) -> Iterator[None]:
    """A reader that reads the whole table again and again; what it has `seen` may grow at any moment."""
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.02):
            seen.append(rows(place).select(columns))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            yield
        finally:
            done.set()
            reader.result(timeout=60)
