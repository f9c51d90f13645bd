"""The row sets of the benchmarks: the mixed-length texts, samples of them in four mixes of lengths, and their digests.

Every set is a function of these files, the packages and a seed. No row is ever repeated; where the corpora hold too few
texts of EQUAL_TOKENS tokens, longer ones are cut (pieces.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.corpora import CORPORA
from benchmarks.pieces import cut_pieces
from models.locate import cache_home
from models.zoo.pretrained import fetch_pretrained

SEED = 20260301
LONGEST = 256  # MiniLM's own limit: longer texts are cut off there by everybody
EQUAL_TOKENS = 64
SET_ASIDE = 97  # one row in so many of the mixed set is for calibration only
SHORT, LONG = (8, 24), (128, LONGEST)  # tokens, bounds included
SOURCES = ("corpora.py", "data.py", "pictures.py", "pieces.py")  # what the rows on disk are a function of
PIECES_FROM = 10_000_000  # ids of rows that are pieces of others


class TooFewRows(ValueError):
    """A set was asked for more rows of a kind than the corpora hold; rows are not repeated to make them up."""

    def __init__(self, kind: str, *, wanted: int, found: int) -> None:
        super().__init__(f"{wanted} rows of {kind} were asked for, the corpora hold {found}. Ask for fewer.")
        self.kind, self.wanted, self.found = kind, wanted, found


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSet:
    """Rows on disk, as every side reads them.

    Attributes:
        path: one Parquet file: id int64, and the column that is encoded.
        rows: how many.
        digest: over ids and values, the same on every machine.
        about: what they are, in words.
    """

    path: Path
    rows: int
    digest: str
    about: str

    def describe(self) -> dict[str, Any]:
        return {"rows": self.rows, "digest": self.digest, "about": self.about}


def mixed_texts() -> pa.Table:
    """All texts of the corpora, without blank ones, each once: id, corpus, text, tokens (MiniLM's, at most LONGEST)."""
    path = bench_cache() / "mixed.parquet"
    if not path.is_file():
        seen = set[str]()
        columns: dict[str, list[Any]] = {"corpus": [], "text": []}
        for corpus, read in CORPORA.items():
            for text in read():
                if (text := clean(text)) and text not in seen:
                    seen.add(text)
                    columns["corpus"].append(corpus)
                    columns["text"].append(text)
        table = pa.table({"id": pa.array(range(len(seen)), pa.int64()), **columns})
        write_whole(table.append_column("tokens", pa.array(count_tokens(columns["text"]), pa.int32())), path)
    return pq.read_table(path)


def clean(text: str) -> str:
    """Without blanks around it and without what UTF-8 cannot say, so that every side is given the same characters."""
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\x00", "").strip()


def count_tokens(texts: list[str]) -> NDArray[np.int64]:
    """Tokens that MiniLM makes of each text, special ones included, at most LONGEST."""
    return np.array([len(encoding) for encoding in read_tokenizer().encode_batch_fast(texts)], dtype=np.int64)


def read_tokenizer() -> Any:
    """MiniLM's, cut off at LONGEST."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(fetch_pretrained("minilm") / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def pick_natural(tokens: NDArray[np.int64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows drawn from all corpora alike: the natural mix."""
    return pick(np.flatnonzero(tokens > 0), rows, rng, kind="any length")


def pick_equal(tokens: NDArray[np.int64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of EQUAL_TOKENS tokens each: nothing to gain by sorting."""
    return pick(np.flatnonzero(tokens == EQUAL_TOKENS), rows, rng, kind=f"{EQUAL_TOKENS} tokens")


def pick_one_long(tokens: NDArray[np.int64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Short rows, and among each 64 one of the longest: what padding to the longest costs most."""
    longest = rows // 64
    long_rows = pick(np.flatnonzero(tokens == LONGEST), longest, rng, kind=f"{LONGEST} tokens")
    chosen = pick(within(tokens, SHORT), rows, rng, kind=f"{SHORT[0]} to {SHORT[1]} tokens")
    for number, row in enumerate(long_rows):
        chosen[number * 64 + rng.integers(64)] = row
    return chosen


def pick_two_humps(tokens: NDArray[np.int64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Short rows and long ones, half and half, in any order."""
    short = pick(within(tokens, SHORT), rows - rows // 2, rng, kind=f"{SHORT[0]} to {SHORT[1]} tokens")
    long = pick(within(tokens, LONG), rows // 2, rng, kind=f"{LONG[0]} to {LONG[1]} tokens")
    return rng.permutation(np.concatenate([short, long]))


def pick_short(tokens: NDArray[np.int64], rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Short rows only."""
    return pick(within(tokens, SHORT), rows, rng, kind=f"{SHORT[0]} to {SHORT[1]} tokens")


Pick = Callable[[NDArray[np.int64], int, np.random.Generator], NDArray[np.int64]]
MIXES: Mapping[str, tuple[str, Pick]] = {
    "equal": (f"all rows of {EQUAL_TOKENS} tokens", pick_equal),
    "natural": ("a sample of all corpora in their natural mix", pick_natural),
    "one-long": (f"rows of {SHORT[0]} to {SHORT[1]} tokens, one in 64 of {LONGEST} or more", pick_one_long),
    "two-humps": (f"half of {SHORT[0]} to {SHORT[1]} tokens, half of {LONG[0]} or more", pick_two_humps),
    "short": (f"rows of {SHORT[0]} to {SHORT[1]} tokens", pick_short),
}


def text_rows(mix: str, rows: int) -> RowSet:
    """A seeded sample of the mixed-length set: columns id, text; the ids of pieces begin at PIECES_FROM.

    Raises:
        TooFewRows: the corpora do not hold so many rows of that kind.
    """
    about, choose = MIXES[mix]
    path = bench_cache() / f"text-{mix}-{rows}.parquet"
    if not path.is_file():
        table = mixed_texts()
        tokens = table.column("tokens").to_numpy().astype(np.int64)
        tokens[::SET_ASIDE] = 0
        texts = table.select(["id", "text"])
        if mix == "equal":
            texts, tokens = add_pieces(texts, tokens, rows)
        write_whole(texts.take(pa.array(choose(tokens, rows, np.random.default_rng(SEED)))), path)
    ids = pq.read_table(path, columns=["id"]).column("id")
    if pieces := pc.sum(pc.greater_equal(ids, PIECES_FROM)).as_py():
        about += f", {pieces} of them the beginnings of longer texts"
    return describe_rows(path, about)


def add_pieces(texts: pa.Table, tokens: NDArray[np.int64], rows: int) -> tuple[pa.Table, NDArray[np.int64]]:
    """The texts, and behind them as many pieces of EQUAL_TOKENS tokens as there are too few texts of that length."""
    missing = rows - int((tokens == EQUAL_TOKENS).sum())
    if missing <= 0:
        return texts, tokens
    longer = pick(within(tokens, LONG), int((tokens >= LONG[0]).sum()), np.random.default_rng(SEED), kind="long texts")
    column = texts.column("text")
    found = cut_pieces(
        (column[row].as_py() for row in longer), EQUAL_TOKENS, missing, read_tokenizer(), besides=column.to_pylist()
    )
    added = pa.table({"id": pa.array(range(PIECES_FROM, PIECES_FROM + len(found)), pa.int64()), "text": found})
    return pa.concat_tables([texts, added]), np.concatenate([tokens, np.full(len(found), EQUAL_TOKENS)])


def calibration_rows(rows: int = 1000) -> RowSet:
    """Rows for whoever quantises: of the natural mix, and in no other set."""
    path = bench_cache() / "calibration" / f"calibration-{rows}.parquet"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        table = mixed_texts()
        aside = np.arange(0, table.num_rows, SET_ASIDE)
        chosen = pick(aside, rows, np.random.default_rng(SEED), kind="set-aside texts")
        write_whole(table.select(["id", "text"]).take(pa.array(chosen)), path)
    return describe_rows(path, "rows of the natural mix that are in no other set")


def numbered_rows(rows: int, *, row_group_rows: int = 50_000) -> RowSet:
    """Many cheap rows for what does not look at them: a short text each, with the row's number in front."""
    path = bench_cache() / f"numbered-{rows}-by-{row_group_rows}.parquet"
    if not path.is_file():
        table = mixed_texts()
        short = table.column("text").take(pa.array(within(table.column("tokens").to_numpy(), SHORT)))
        texts = short.take(pa.array(np.arange(rows) % len(short))).combine_chunks()
        numbers = pa.array(np.arange(rows))
        numbered = pc.binary_join_element_wise(numbers.cast(pa.string()), texts, " ")
        write_whole(pa.table({"id": numbers, "text": numbered}), path, row_group_rows=row_group_rows)
    about = (
        f"short texts, each with its row's number in front; below the number a text comes {-(-rows // 28_000)} times"
    )
    return describe_rows(path, about)


def split_rows(rows: RowSet, files: int) -> RowSet:
    """The same rows as a folder of files of equal length, for jobs of several shards."""
    folder = rows.path.with_suffix("").with_name(f"{rows.path.stem}-in-{files}")
    table = pq.read_table(rows.path)
    size = -(-table.num_rows // files)
    folder.mkdir(exist_ok=True)
    for number in range(files):
        if not (path := folder / f"{number:03}.parquet").is_file():
            write_whole(table.slice(number * size, size), path)
    return RowSet(path=folder, rows=rows.rows, digest=rows.digest, about=f"{rows.about}, in {files} files")


def pick(among: NDArray[np.int64], rows: int, rng: np.random.Generator, *, kind: str) -> NDArray[np.int64]:
    """So many of these rows, none twice, in any order."""
    if rows > len(among):
        raise TooFewRows(kind, wanted=rows, found=len(among))
    return rng.choice(among, size=rows, replace=False)


def within(tokens: NDArray[np.int64], bounds: tuple[int, int]) -> NDArray[np.int64]:
    return np.flatnonzero((tokens >= bounds[0]) & (tokens <= bounds[1]))


def describe_rows(path: Path, about: str) -> RowSet:
    with pq.ParquetFile(path) as file:
        columns = {name: read_column(file, name) for name in file.schema_arrow.names}
        return RowSet(path=path, rows=file.metadata.num_rows, digest=digest_columns(columns), about=about)


def read_column(file: pq.ParquetFile, name: str) -> Iterator[pa.ChunkedArray]:
    """A column, one row group in memory at a time."""
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, [name]).column(0)


def digest_rows(table: pa.Table) -> str:
    """The digest of a table's rows."""
    return digest_columns({name: [table.column(name)] for name in table.column_names})


def digest_columns(columns: Mapping[str, Iterable[pa.ChunkedArray]]) -> str:
    """sha256 over column names, ids and values in their order, whatever the chunks and the file's encoding."""
    digest = hashlib.sha256()
    for name, chunks in columns.items():
        digest.update(name.encode())
        for value in (value for chunk in chunks for value in chunk.to_pylist()):
            content = value if isinstance(value, bytes) else str(value).encode()
            digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def mean_tokens(path: Path) -> float:
    """Tokens of a text set's row, on average."""
    return float(pc.mean(pa.array(count_tokens(pq.read_table(path).column("text").to_pylist()))).as_py())


def bench_cache() -> Path:
    """Where row sets lie, outside the repository: a folder for each state of the files that make them."""
    here = Path(__file__).parent
    sources = b"".join((here / name).read_bytes() for name in SOURCES)
    folder = cache_home() / "benchmarks" / hashlib.sha256(sources).hexdigest()[:8]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_whole(table: pa.Table, path: Path, *, row_group_rows: int | None = None) -> None:
    """Write a Parquet file that appears whole, by rename."""
    temporary = path.with_suffix(f".{os.getpid()}")
    pq.write_table(table, temporary, compression="zstd", row_group_size=row_group_rows)
    temporary.rename(path)


def write_groups(groups: Iterable[pa.Table], path: Path) -> None:
    """Write tables as the row groups of one file, one in memory at a time; the file appears whole, by rename."""
    temporary, writer = path.with_suffix(f".{os.getpid()}"), None
    for table in groups:
        writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
        temporary.rename(path)
