"""The row sets: which rows of the corpora are drawn, and their digest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.data import (
    EQUAL_TOKENS,
    LONG,
    LONGEST,
    MIXES,
    SHORT,
    RowSet,
    TooFewRows,
    clean,
    digest_rows,
    split_rows,
)

#: Tokens of 20,000 rows of any length; 0 is a row that is set aside.
TOKENS = np.random.default_rng(1).integers(0, LONGEST + 1, size=20_000)


def drawn(mix: str, rows: int, seed: int = 7) -> np.ndarray:
    return MIXES[mix][1](TOKENS, rows, np.random.default_rng(seed))


@pytest.mark.parametrize("mix", MIXES)
def test_no_row_is_drawn_twice_and_none_that_is_set_aside(mix: str) -> None:
    rows = drawn(mix, 64)
    assert len(rows) == 64 == len(set(rows.tolist()))
    assert (TOKENS[rows] > 0).all()


@pytest.mark.parametrize("mix", MIXES)
def test_the_same_seed_draws_the_same_rows(mix: str) -> None:
    assert drawn(mix, 64).tolist() == drawn(mix, 64).tolist()
    assert drawn(mix, 64).tolist() != drawn(mix, 64, seed=8).tolist()


def test_the_mixes_have_the_lengths_that_they_are_named_for() -> None:
    assert set(TOKENS[drawn("equal", 64)]) == {EQUAL_TOKENS}
    long_ones = TOKENS[drawn("one-long", 256)].reshape(4, 64) == LONGEST
    assert long_ones.sum(axis=1).tolist() == [1, 1, 1, 1]
    humps = TOKENS[drawn("two-humps", 101)]
    assert ((humps >= LONG[0]) & (humps <= LONG[1])).sum() == 50
    assert ((humps >= SHORT[0]) & (humps <= SHORT[1])).sum() == 51


def test_more_rows_than_there_are_is_an_error_and_no_repetition() -> None:
    held = int((TOKENS == EQUAL_TOKENS).sum())
    with pytest.raises(TooFewRows, match=f"{held + 1} rows of 64 tokens were asked for, the corpora hold {held}"):
        drawn("equal", held + 1)


def test_the_digest_is_of_the_rows_and_not_of_the_file() -> None:
    whole = pa.table({"id": [1, 2, 3], "text": ["a", "b", "c"]})
    chunks = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert digest_rows(whole) == digest_rows(chunks)
    assert digest_rows(whole) != digest_rows(whole.take([0, 2, 1]))
    assert digest_rows(pa.table({"text": ["ab", "c"]})) != digest_rows(pa.table({"text": ["a", "bc"]}))


def test_a_text_is_cleaned_to_what_every_side_reads_alike() -> None:
    assert clean("\n a\x00b\ud800c \t") == "abc"


def test_rows_in_several_files_are_the_same_rows(tmp_path: Path) -> None:
    table = pa.table({"id": list(range(10)), "text": [f"row {i}" for i in range(10)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = RowSet(path=tmp_path / "rows.parquet", rows=10, digest=digest_rows(table), about="ten rows")
    split = split_rows(rows, 3)
    assert len(list(split.path.iterdir())) == 3
    assert digest_rows(pq.read_table(split.path)) == rows.digest == split.digest
