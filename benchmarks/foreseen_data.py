"""Twenty data sets whose jobs are foreseen: sizes, mixes and orders of lengths, files, filters, pictures, sequences.

Each is a folder of Parquet and the settings of a job over it. Rows come from data.py and pictures.py; files, row groups
and orders are made here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.data import SEED, bench_cache, text_rows, write_groups
from benchmarks.pictures import fashion_rows, photo_rows, vowel_rows

Files = Mapping[str, Sequence[pa.Table]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A job's rows and settings.

    Attributes:
        name: of its folder.
        about: as the table shows it.
        model: who answers.
        make: file -> its row groups.
        job: other settings.
    """

    name: str
    about: str
    make: Callable[[], Files]
    model: str = "minilm"
    job: Mapping[str, str] = field(default_factory=dict)

    def folder(self) -> Path:
        """Where it lies; made when it is asked for the first time."""
        folder = bench_cache() / "foreseen" / self.name
        if not folder.is_dir():
            scratch = folder.with_name(f".{self.name}")
            for name, groups in self.make().items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_groups(groups, path)
            scratch.rename(folder)
        return folder


def texts(mix: str, rows: int, *, sort: str = "", cuts: int = 8, files: int = 1) -> Callable[[], Files]:
    """Rows of a mix, as they come, or `sort`ed by length `up` or `down`, in files of so many row groups."""

    def make() -> Files:
        return cut_up(in_order(pq.read_table(text_rows(mix, rows).path), sort), files=files, cuts=cuts)

    return make


def in_order(rows: pa.Table, sort: str) -> pa.Table:
    """Rows by the length of their text, `up` or `down`, or as they come."""
    if not sort:
        return rows
    order = np.argsort(pc.utf8_length(rows.column("text")).to_numpy(), kind="stable")
    return rows.take(pa.array(order if sort == "up" else order[::-1]))


def cut_up(rows: pa.Table, *, files: int, cuts: int) -> Files:
    """The rows in their order, in files of about as many rows, each of so many row groups."""
    return {f"{number:05}.parquet": list(pieces(part, cuts)) for number, part in enumerate(pieces(rows, files))}


def pieces(rows: pa.Table, count: int) -> Sequence[pa.Table]:
    """A table in so many of about one length."""
    edges = np.linspace(0, rows.num_rows, count + 1).astype(int)
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]


def late_heavy() -> Files:
    """Ten files of short rows, and one at the end that takes longer than all of them."""
    short, long = pq.read_table(text_rows("short", 2500).path), pq.read_table(text_rows("natural", 4800).path)
    long = in_order(long, "down").slice(0, 400)
    return dict(cut_up(short, files=10, cuts=2)) | {"99999.parquet": pieces(long, 2)}


def one_heavy_group() -> Files:
    """One file of 30 row groups, the last but two of which holds the long rows."""
    short, long = pq.read_table(text_rows("short", 2900).path), pq.read_table(text_rows("natural", 4800).path)
    groups = list(pieces(short, 29))
    return {"all.parquet": [*groups[:27], in_order(long, "down").slice(0, 300), *groups[27:]]}


def with_languages(*, by_file: bool) -> Callable[[], Files]:
    """Rows of two languages by name: file for file, or row for row by chance."""

    def make() -> Files:
        files = cut_up(pq.read_table(text_rows("natural", 2400).path), files=12, cuts=2)
        rng = np.random.default_rng(SEED)

        def named(rows: pa.Table, number: int) -> pa.Table:
            is_en = np.full(rows.num_rows, number % 3 == 0) if by_file else rng.random(rows.num_rows) < 0.4
            return rows.append_column("lang", pa.array(np.where(is_en, "en", "de")))

        return {name: [named(rows, number) for rows in groups] for number, (name, groups) in enumerate(files.items())}

    return make


def in_folders() -> Files:
    """A hive folder for each of eight days, ever longer rows by day."""
    rows = in_order(pq.read_table(text_rows("natural", 1200).path), "up")
    days = enumerate(pieces(rows, 8))
    return {f"day={number}/{part}.parquet": [cut] for number, rows in days for part, cut in enumerate(pieces(rows, 2))}


def repeated() -> Files:
    """Every text five times, near each other."""
    rows = pq.read_table(text_rows("natural", 1200).path)
    near = np.concatenate([np.tile(np.arange(a, min(a + 150, 1200)), 5) for a in range(0, 1200, 150)])
    again = rows.take(pa.array(near)).set_column(0, "id", pa.array(np.arange(len(near))))
    return cut_up(again, files=2, cuts=2)


def rows_of(path: Callable[[], Path], *, files: int, cuts: int) -> Callable[[], Files]:
    return lambda: cut_up(pq.read_table(path()), files=files, cuts=cuts)


def photos_by_size() -> Files:
    """Photos, the largest pictures last."""
    rows = pq.read_table(photo_rows(240).path)
    order = np.argsort(pc.binary_length(rows.column("image")).to_numpy(), kind="stable")
    return cut_up(rows.take(pa.array(order)), files=6, cuts=2)


DATA_SETS = (
    DataSet(name="natural", about="natural mix, one file", make=texts("natural", 1200)),
    DataSet(name="natural-small", about="natural mix, a third of it", make=texts("natural", 400, cuts=2)),
    DataSet(name="natural-large", about="natural mix, thrice, 8 files", make=texts("natural", 3600, files=8, cuts=4)),
    DataSet(name="equal", about="equal lengths", make=texts("equal", 1500)),
    DataSet(name="one-long", about="short, one in 64 long", make=texts("one-long", 3000, cuts=10)),
    DataSet(name="two-humps", about="half short, half long", make=texts("two-humps", 900, cuts=6)),
    DataSet(name="short", about="short rows", make=texts("short", 5000, files=2)),
    DataSet(name="sorted-up", about="sorted, shortest first", make=texts("natural", 1200, sort="up", cuts=20)),
    DataSet(
        name="sorted-down",
        about="sorted, longest first, 40 files",
        make=texts("natural", 1200, sort="down", files=40, cuts=1),
    ),
    DataSet(name="sorted-whole", about="sorted, a single row group", make=texts("natural", 1200, sort="up", cuts=1)),
    DataSet(name="late-heavy", about="ten light files, a heavy one last", make=late_heavy),
    DataSet(name="heavy-group", about="30 row groups, one of them heavy", make=one_heavy_group),
    DataSet(name="small-files", about="400 files of 3 rows", make=texts("natural", 1200, files=400, cuts=1)),
    DataSet(
        name="filter-files", about="a filter, by file", make=with_languages(by_file=True), job={"where": "lang = 'en'"}
    ),
    DataSet(
        name="filter-rows", about="a filter, by row", make=with_languages(by_file=False), job={"where": "lang = 'en'"}
    ),
    DataSet(name="folders", about="8 hive folders, ever longer rows", make=in_folders),
    DataSet(name="repeated", about="every text five times", make=repeated),
    DataSet(
        name="garments",
        about="pictures, 28 x 28",
        model="fashion-resnet",
        make=rows_of(lambda: fashion_rows(20_000).path, files=4, cuts=5),
    ),
    DataSet(name="photos", about="photos, the largest last", model="efficientnet-lite0", make=photos_by_size),
    DataSet(
        name="vowels",
        about="sequences of 7 to 29 steps",
        model="vowels-bilstm",
        make=rows_of(lambda: vowel_rows(60).path, files=3, cuts=4),
        job={"column": "sequence=steps"},
    ),
)
