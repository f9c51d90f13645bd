"""Rows to calibrate and try a variant with: some of every file, drawn evenly, or what comes along with the zoo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import UsageError
from batch.read_column import ObjectColumn
from batch.stores.storage import ObjectInfo, Store
from batch.table.source import list_input_objects

#: Files that rows are drawn from, evenly over the listing.
FILES = 16
#: Of the rows, the share that is held out: the variant is measured with rows that it was not calibrated with.
HELD_OUT = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Two sets of rows that have no row in common, and where they are from."""

    calibration: list[Any]
    held_out: list[Any]
    rows_from: str


def sample_source(url: str, column: str, *, rows: int, **s3: str | None) -> Sample:
    """Draw rows of one column out of Parquet: a folder, an s3:// prefix, a file or a glob; or a Delta table.

    Raises:
        UsageError: no such column, or fewer than two rows.
        JobError: the source cannot be listed or read.
    """
    found = list_input_objects(url, where=s3)
    store, infos = found.store, found.objects
    chosen = [infos[i] for i in np.unique(np.linspace(0, len(infos) - 1, min(FILES, len(infos))).astype(int))]
    values: list[Any] = []
    for info in chosen:
        values += draw_values(store, info, column, rows=-(-rows // len(chosen)))
    return split_rows(values[:rows], url)


def draw_values(store: Store, info: ObjectInfo, column: str, *, rows: int) -> list[Any]:
    """Values of a column, evenly out of the first, middle and last row group of one object; nulls are left out."""
    read = ObjectColumn(store, info, column, flag="--calibration")
    last = read.row_groups - 1
    groups = sorted({0, read.row_groups // 2, last}) if last >= 0 else []
    values: list[Any] = []
    for group in groups:
        found = list(read.read([group]))
        wanted = min(sum(map(len, found)), -(-rows // len(groups)))
        if wanted:
            values += every_nth(pa.chunked_array(found), wanted)
    return values


def split_rows(values: list[Any], rows_from: str) -> Sample:
    """Every row into one of two sets, both of them drawn over the whole.

    Raises:
        UsageError: fewer than two rows.
    """
    if len(values) < 2:
        raise UsageError(
            f"--calibration {rows_from}: expected at least two rows that are not null, found {len(values)}; "
            "some calibrate, others measure."
        )
    shuffled = [values[i] for i in np.random.default_rng(0).permutation(len(values))]
    held_out = max(1, round(len(shuffled) * HELD_OUT))
    return Sample(calibration=shuffled[held_out:], held_out=shuffled[:held_out], rows_from=rows_from)


def sample_zoo(kind: str, *, rows: int) -> Sample:
    """Rows of the data that the zoo was tried on, for a model whose owner names none.

    Raises:
        UsageError: none of that kind could be had.
    """
    from models.zoo.datasets import DATA, bbc_news
    from models.zoo.fetch import FetchFailed

    if kind == "image":
        return split_rows(every_nth(pq.read_table(DATA / "fashion.parquet").column("image"), rows), "Fashion-MNIST")
    if kind == "sequence":
        return split_rows(every_nth(pq.read_table(DATA / "vowels.parquet").column("steps"), rows), "JapaneseVowels")
    try:
        articles = every_nth(bbc_news("train").column("text"), rows)
    except FetchFailed as error:
        raise UsageError(f"{error} Name rows of your own with --calibration.") from None
    return split_rows([beginning(text, row) for row, text in enumerate(articles)], "BBC news, cut to many lengths")


def every_nth(column: Any, rows: int) -> list[Any]:
    """So many values, evenly over a column."""
    chosen = np.linspace(0, len(column) - 1, min(rows, len(column))).astype(np.int64)
    values: list[Any] = column.take(pa.array(chosen)).to_pylist()
    return values


def beginning(text: str, row: int) -> str:
    """The first words of an article, as many as short and long texts have, by its row."""
    words = text.split()
    return " ".join(words[: int(np.clip(np.random.default_rng(row).lognormal(3.6, 1.0), 2, len(words)))])
