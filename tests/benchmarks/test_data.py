"""The row sets: which rows of the corpora are drawn, and their digest."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from benchmarks import data, pictures
from benchmarks.data import (
    EQUAL_TOKENS,
    LONG,
    LONGEST,
    MIXES,
    SHORT,
    RowSet,
    TooFewRows,
    clean,
    describe_rows,
    digest_rows,
    split_rows,
    write_groups,
)
from benchmarks.pieces import cut_pieces

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


def test_row_groups_are_written_and_digested_one_by_one(tmp_path: Path) -> None:
    table = pa.table({"id": list(range(10)), "text": [f"row {i}" for i in range(10)]})
    write_groups((table.slice(start, 4) for start in range(0, 10, 4)), tmp_path / "rows.parquet")
    assert pq.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 3
    described = describe_rows(tmp_path / "rows.parquet", "ten rows")
    assert (described.rows, described.digest) == (10, digest_rows(table))


def words() -> Tokenizer:
    """A token for each word, and one before and behind."""
    names = ["[CLS]", "[SEP]", "[UNK]"]
    tokenizer = Tokenizer(WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)])
    return tokenizer


def test_pieces_are_beginnings_of_so_many_tokens_and_none_comes_twice() -> None:
    texts = ["a b c d e", "a b c f g", "k l", "one two three", "u v w x y", "p q r s t"]
    assert cut_pieces(texts, 5, 2, words(), besides=["u v w"]) == ["a b c", "p q r"]
    assert cut_pieces(texts, 5, 1, words(), besides=[]) == ["a b c"]


def test_rows_of_one_length_are_made_up_of_pieces_and_their_number_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [f"{' '.join(f'w{i}x{n}' for n in range(200))}" for i in range(300)]
    short = [" ".join(f"s{i}x{n}" for n in range(EQUAL_TOKENS - 2)) for i in range(5)]
    texts = long + short
    table = pa.table({"id": list(range(305)), "text": texts, "tokens": [202] * 300 + [EQUAL_TOKENS] * 5})
    for name, fake in {"mixed_texts": lambda: table, "read_tokenizer": words, "bench_cache": lambda: tmp_path}.items():
        monkeypatch.setattr(data, name, fake)
    rows = data.text_rows("equal", 20)
    found = pq.read_table(rows.path)
    assert rows.about == f"all rows of {EQUAL_TOKENS} tokens, 15 of them the beginnings of longer texts"
    assert {len(encoding.ids) for encoding in words().encode_batch(found.column("text").to_pylist())} == {EQUAL_TOKENS}
    assert len(set(found.column("text").to_pylist())) == len(set(found.column("id").to_pylist())) == 20


def test_more_garments_than_there_are_differ_from_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = np.random.default_rng(3).integers(0, 256, (20, 28, 28)).astype(np.uint8)
    monkeypatch.setattr(pictures, "fashion", lambda split: (real[:8] if split == "test" else real[8:], None))
    monkeypatch.setattr(pictures, "bench_cache", lambda: tmp_path)
    rows = pictures.fashion_rows(70, row_group_rows=16)
    found = pq.read_table(rows.path)
    images = [np.asarray(Image.open(io.BytesIO(value))) for value in found.column("image").to_pylist()]
    assert pq.ParquetFile(rows.path).num_row_groups == 5
    assert len({image.tobytes() for image in images}) == 70 == len(set(found.column("id").to_pylist()))
    assert all((image == original).all() for image, original in zip(images[:20], real, strict=True))
    mirrored, noise = images[25].astype(int), pictures.MOST_GREY
    assert np.abs(mirrored - np.minimum(real[5, :, ::-1], 255 - noise)).max() <= noise
