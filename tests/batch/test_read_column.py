"""Rows to try or calibrate a model with come from files as hostile as a job's, and are read with the same care."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from batch.choose.sample import draw_values
from batch.cli.model import read_samples
from batch.errors import JobError
from batch.stores.storage import list_sources
from models.footprint import held_bytes, reset_peak
from tests.batch.command import ROOT, Command, assert_refused, environment
from tests.batch.crafted import ZSTD, Crafted, page
from tests.batch.places import WORD_COUNT, Folder, Place, parquet_bytes, put_table, texts
from tests.batch.test_hostile_parquet import CLAIMS, MIB, zeros


def check(place: Place, source: str, *more: str) -> tuple[str, ...]:
    return ("model", "check", WORD_COUNT, "--rows", place.url + source, *more)


@pytest.mark.parametrize("case", CLAIMS)
def test_rows_that_claim_what_cannot_be_are_named(folder: Folder, command: Command, case: str) -> None:
    crafted, reason = CLAIMS[case]
    folder.put("a.parquet", crafted.to_bytes())
    assert_refused(command(*check(folder, "a.parquet")), 2, "a.parquet is not readable as Parquet", reason)


def test_a_bomb_among_the_rows_is_refused_within_the_memory_that_was_there(folder: Folder, command: Command) -> None:
    bomb = Crafted(body=page(zeros(300 * MIB), values=3, unpacked=300 * MIB), codec=ZSTD, unpacked=1000)
    folder.put("a.parquet", bomb.to_bytes())
    found = list_sources(folder.url)
    reset_peak()
    before = held_bytes()
    assert_refused(command(*check(folder, "a.parquet")), 2, "a decompression bomb?")
    with pytest.raises(JobError, match="a decompression bomb"):
        draw_values(found.store, found.objects[0], "text", rows=3)
    assert held_bytes("VmHWM") - before < 100 * MIB


def flip(folder: str) -> None:
    """Change bytes anywhere in a file; whatever follows is values or one of our errors."""
    good = parquet_bytes(texts(300, n=[[1], []] * 150), row_group_size=100, compression="lz4")
    for seed in range(400):
        chance = random.Random(seed)
        body = bytearray(good)
        first = chance.choice([4, len(body) - int.from_bytes(body[-8:-4], "little") - 8])
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(first, len(body))] ^= chance.randrange(1, 256)
        Path(folder, "a.parquet").write_bytes(body)
        found = list_sources(folder)
        with contextlib.suppress(JobError):
            read_samples(folder, "text")
        with contextlib.suppress(JobError):
            draw_values(found.store, found.objects[0], "text", rows=64)


def test_flipped_bytes_give_values_or_one_error_and_never_end_the_process(tmp_path: Path) -> None:
    code = f"from tests.batch.test_read_column import flip; flip({str(tmp_path)!r})"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_rows_are_named_as_an_input_is(place: Place, command: Command, vowels: Path) -> None:
    tables = [pa.table({"steps": [[[0.1 * row + channel for channel in range(12)]] * 3 for row in range(rows)]})
              for rows in (3, 200)]  # fmt: skip
    for number, table in enumerate(tables):
        put_table(place, f"in/p={number}/a.parquet", table)
    for source in ("in/", "in/p=0/a.parquet", "in/p=*/*.parquet"):
        end = command("model", "check", str(vowels), "--rows", place.url + source)
        assert end.code == 0, end.err
        assert "BROKEN" not in end.out
    rows = [row for table in tables for row in table["steps"].to_pylist()]
    assert read_samples(f"{place.url}in/", "steps") == rows[:100]


def test_rows_that_are_none_are_named(folder: Folder, command: Command) -> None:
    put_table(folder, "a.parquet", pa.table({"text": pa.nulls(3, pa.string())}))
    folder.put("b.parquet", b"x" * 50)
    for source, more, said in (
        ("nope.parquet", (), "was not found"),
        ("a.parquet", (), "its column 'text' has no value"),
        ("a.parquet", ("--column", "body"), "has no column 'body'; it has text. Name one with --column."),
        ("b.parquet", (), "is not readable as Parquet"),
    ):
        assert_refused(command(*check(folder, source, *more)), 2, said)
