"""The job that is shot at: a few objects of rows that are each known by their number of words, in many small shards."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tests.batch.own_models import MANY
from tests.batch.places import Bucket, parquet_bytes
from tests.chaos.slow_words import POISON

MODEL = "tests.chaos.slow_words:SlowWords"
SHARD_MB = 0.002
ROWS_A_GROUP = 8
#: Key -> rows. Small objects share a shard, large ones are cut.
OBJECTS = {
    "lang=de/a.parquet": 5,
    "lang=de/b.parquet": 24,
    "lang=de/c.parquet": 3,
    "lang=en/a.parquet": 40,
    "lang=en/b.parquet": 1,
    "lang=en/c.parquet": 0,
    "lang=fr/a.parquet": 30,
}


def words_of(number: int) -> int | None:
    """The words of the job's n-th row; one row in 17 is null."""
    return None if number % 17 == 5 else number + 1


def rows() -> Iterator[tuple[str, int, int | None]]:
    """Every row of the input: object, number of the row in it, words."""
    number = 0
    for key, count in OBJECTS.items():
        for row in range(count):
            yield key, row, words_of(number)
            number += 1


def answer(words: int | None) -> tuple[str | None, str | None]:
    """(label, error class) that a row has to end with."""
    if words is None:
        return None, "NullValue"
    if words == POISON:
        return None, "ValueError"
    return "many" if words >= MANY else "few", None


def put_input(place: Bucket, prefix: str = "in/") -> None:
    """The same bytes every time, so that the same shards are planned and manifests can be compared by their digests."""
    found: dict[str, list[int | None]] = {key: [] for key in OBJECTS}
    for key, _, words in rows():
        found[key].append(words)
    for key, counts in found.items():
        texts = [None if words is None else " ".join(["w"] * words) for words in counts]
        table = pa.table({"words": pa.array(counts, pa.int64()), "text": pa.array(texts, pa.string())})
        body = parquet_bytes(table, row_group_size=ROWS_A_GROUP, compression="none", use_dictionary=False)
        place.put(prefix + key, body)


def command(place: Bucket, *, workers: int) -> tuple[str, ...]:
    where = ("--input", f"{place.url}in/", "--output", f"{place.url}out/")
    return ("run", "--model", MODEL, *where, "--shard-mb", str(SHARD_MB), "--keep", "words", "--workers", str(workers))
