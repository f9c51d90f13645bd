"""Parquet that lies: truncated, flipped, claiming what cannot be, and small files that unpack to what fits nowhere."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.bounds import Bounds
from batch.columns import JobColumns, job_columns
from batch.errors import JobError, UnreadableParquet
from batch.plan import make_plan
from batch.read import read_rows
from batch.spec import JobSpec
from batch.stores.local_store import LocalStore
from models.claims.thrift import Malformed, TooShort, read_struct
from models.footprint import held_bytes, reset_peak
from tests.batch.command import ROOT, Command, assert_refused, environment, job, tandem
from tests.batch.crafted import ZSTD, Crafted, group_element, page, text_element, texts_page
from tests.batch.own_models import WordCount
from tests.batch.places import Folder, parquet_bytes, put_table, read_output, texts

MIB = 1 << 20
GOOD = parquet_bytes(texts(400), row_group_size=100, write_page_checksum=True)
CLAIMS = {
    "rows below none": (Crafted(rows=-1, values=-1), "claims -1 rows"),
    "another number of rows": (Crafted(file_rows=4), "its footer claims 4 rows and its row groups 3"),
    "more rows than values": (Crafted(rows=1 << 40, values=3), "claims 3 values in 1,099,511,627,776 rows"),
    "fewer rows than values": (Crafted(values=9), "claims 9 values in 3 rows"),
    "an offset beyond the file": (Crafted(offset=1 << 40), "and the data end at"),
    "an offset below none": (Crafted(offset=-5), "claims bytes -5"),
    "a size below none": (Crafted(size=-7), "and the data end at"),
    "a size beyond the file": (Crafted(size=1 << 33), "and the data end at"),
    "an unpacked size below none": (Crafted(unpacked=-1), "and the data end at"),
    "one chunk for several row groups": (Crafted(groups=3), "shares bytes with another chunk"),
    "a billion columns": (Crafted(claimed_elements=10**9), "its schema has 1,000,000,000 elements"),
    "more columns than there are": (Crafted(claimed_elements=5000), "is damaged"),
    "nested 100,000 levels deep": (
        Crafted(schema=[*(group_element("a", 1) for _ in range(99_998)), text_element()]),
        "nested more than 100 levels deep",
    ),
    "nested 40 levels deep": (
        Crafted(schema=[*(group_element("a", 1) for _ in range(40)), text_element()]),
        "is nested more than 24 levels deep",
    ),
    "a name that is no text": (Crafted(schema=[group_element("schema", 1), text_element(b"te\xfft")]), "damaged"),
}


@pytest.fixture
def columns() -> JobColumns:
    return job_columns(JobSpec(model="m", input="in", output="out"), WordCount.spec)


def read_all(folder: Path, columns: JobColumns, bounds: Bounds = Bounds()) -> list[str]:  # noqa: B008
    """Plan and read what lies in a folder, as a job does."""
    store = LocalStore(folder)
    plan = make_plan(store, list(store.list()), columns, shard_mb=128)
    rows = [
        batch
        for shard in plan.shards
        for batch in read_rows(store, shard, columns, plan.schema, window_rows=4096, bounds=bounds)
    ]
    found: list[str] = [text for batch in rows for text in batch.column("text").to_pylist()]
    return found


def test_the_crafted_file_is_good_but_for_what_it_claims(tmp_path: Path, columns: JobColumns) -> None:
    (tmp_path / "a.parquet").write_bytes(Crafted().to_bytes())
    assert read_all(tmp_path, columns) == ["one", "two words", "three"]


def test_what_is_passed_over_in_a_footer_ends_where_it_does_when_it_is_read() -> None:
    footer = bytearray(GOOD[-8 - int.from_bytes(GOOD[-8:-4], "little") : -8])
    whole, end = read_struct(footer)
    assert read_struct(footer, wanted={}) == ({}, end)
    assert read_struct(footer, wanted={3: None, 4: {3: None}})[0] == {
        3: 400, 4: [{3: group[3]} for group in whole[4]]
    }  # fmt: skip
    chance, same = random.Random(7), 0
    for _ in range(500):
        flipped = bytearray(footer)
        flipped[chance.randrange(len(footer))] = chance.randrange(256)
        with contextlib.suppress(TooShort, Malformed):
            _, end = read_struct(flipped)
            assert read_struct(flipped, wanted={}) == ({}, end)
            same += 1
    assert same > 250, "most flips are of numbers and names"


@pytest.mark.parametrize("case", CLAIMS)
def test_a_footer_that_claims_what_cannot_be_is_named(folder: Folder, command: Command, case: str) -> None:
    crafted, reason = CLAIMS[case]
    folder.put("in/a.parquet", crafted.to_bytes())
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/a.parquet is not readable as Parquet", reason)


@pytest.mark.parametrize("case", ["nested 100,000 levels deep", "an offset beyond the file"])
def test_the_real_command_ends_with_a_line_and_not_with_a_signal(folder: Folder, case: str) -> None:
    folder.put("in/a.parquet", CLAIMS[case][0].to_bytes())
    assert_refused(tandem(*job(folder)), 2, CLAIMS[case][1])


def test_a_file_cut_off_anywhere_is_named(folder: Folder, command: Command, columns: JobColumns) -> None:
    lengths = sorted({*range(16), *range(16, len(GOOD), 97), *range(len(GOOD) - 12, len(GOOD))})
    for length in lengths:
        folder.put("in/a.parquet", GOOD[:length])
        with pytest.raises(UnreadableParquet, match=r"in/a\.parquet is not readable as Parquet"):
            read_all(folder.folder / "in", columns)
    assert_refused(command(*job(folder)), 2, "truncated, or no Parquet file")


# Each flip is a file of its own, read as a job does; in a process of its own, since what is looked for is its end.
FLIPPED = """
import sys
from tests.batch.test_hostile_parquet import flip_all
flip_all(sys.argv[1], seeds=range(int(sys.argv[2]), int(sys.argv[3])))
"""


def flip_all(folder: str, *, seeds: range) -> None:
    """Write the good file with bytes changed at random places, and read it: right rows, or an error of ours."""
    columns = job_columns(JobSpec(model="m", input="in", output="out"), WordCount.spec)
    footer = len(GOOD) - int.from_bytes(GOOD[-8:-4], "little") - 8
    right = texts(400)["text"].to_pylist()
    outcomes = {"rows": 0, "error": 0}
    for seed in seeds:
        random_ = random.Random(seed)
        body = bytearray(GOOD)
        # The footer is a third of the file; half of the flips go there.
        places = [random_.randrange(*((4, footer) if seed % 2 else (footer, len(body)))) for _ in range(seed % 3 + 1)]
        for place in places:
            body[place] ^= random_.randrange(1, 256)
        Path(folder, "a.parquet").write_bytes(body)
        try:
            found = read_all(Path(folder), columns)
            outcomes["rows"] += 1
            assert max(places) >= footer or found == right, f"seed {seed}: flips at {places} gave other rows"
        except JobError:
            outcomes["error"] += 1
    print(outcomes)


def test_flipped_bytes_give_right_rows_or_one_error_and_never_end_the_process(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FLIPPED, str(tmp_path), "0", "400"]
    done = subprocess.run(words, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'error'" in done.stdout


def zeros(size: int) -> bytes:
    """So many zeros, packed; never held unpacked."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for _ in range(size // MIB):
            stream.write(bytes(MIB))
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


@pytest.mark.parametrize("claimed", [300 * MIB, 2**31 - 1])
def test_a_small_page_that_claims_to_unpack_to_more_than_may_be_held_is_refused(
    folder: Folder, command: Command, claimed: int
) -> None:
    packed = zeros(300 * MIB)
    assert len(packed) < 100_000
    bomb = Crafted(body=page(packed, values=3, unpacked=claimed), codec=ZSTD, unpacked=1000)
    folder.put("in/a.parquet", bomb.to_bytes())
    reset_peak()
    before = held_bytes()
    end = command(*job(folder))
    assert_refused(end, 2, "column 'text': a page of", f"claims to unpack to {claimed:,}", "a decompression bomb?")
    assert held_bytes("VmHWM") - before < 100 * MIB


def test_under_a_bound_of_memory_smaller_bombs_are_refused(tmp_path: Path, columns: JobColumns) -> None:
    bomb = Crafted(body=page(zeros(20 * MIB), values=1, unpacked=20 * MIB), rows=1, codec=ZSTD)
    (tmp_path / "a.parquet").write_bytes(bomb.to_bytes())
    with pytest.raises(UnreadableParquet, match="where 10,485,760 may be"):
        read_all(tmp_path, columns, Bounds(page_bytes=10 * MIB))


def test_a_page_that_claims_less_than_none_is_refused(tmp_path: Path, columns: JobColumns) -> None:
    (tmp_path / "a.parquet").write_bytes(Crafted(body=page(b"x" * 40, values=3, unpacked=-4)).to_bytes())
    with pytest.raises(UnreadableParquet, match="a page claims -4 bytes in 40"):
        read_all(tmp_path, columns)


def test_a_page_of_much_text_that_is_there_is_read(folder: Folder, command: Command) -> None:
    wide = [f"{number} ".encode() * 3_000_000 for number in range(3)]
    folder.put("in/a.parquet", Crafted(body=texts_page(wide)).to_bytes())
    assert command(*job(folder, "--keep", "")).code == 0
    assert read_output(folder)["label"].to_pylist() == ["many"] * 3


def test_a_long_value_that_a_dictionary_repeats_is_never_held_for_all_rows(tmp_path: Path, columns: JobColumns) -> None:
    long = "word " * 52_000
    repeated = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 2048, pa.int32()), ["short", long])
    pq.write_table(pa.table({"text": repeated}), tmp_path / "a.parquet", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    store = LocalStore(tmp_path)
    plan = make_plan(store, list(store.list()), columns, shard_mb=128)
    reset_peak()
    before = held_bytes()
    rows = 0
    for batch in read_rows(store, plan.shards[0], columns, plan.schema, window_rows=4096):
        assert batch.nbytes < 32 * MIB
        assert set(map(len, batch.column("text").to_pylist())) <= {len(long), 5}
        rows += batch.num_rows
    assert rows == 4096
    assert held_bytes("VmHWM") - before < 400 * MIB  # all 4096 rows at once would be 530 MB, twice
    assert rows == plan.rows


def test_ordinary_dictionaries_are_read_in_full_steps(tmp_path: Path, columns: JobColumns) -> None:
    words = [f"text {number % 3000}, and what stands behind it" for number in range(9000)]
    pq.write_table(pa.table({"text": words}), tmp_path / "a.parquet")
    assert read_all(tmp_path, columns) == words


def test_labels_that_are_no_text_do_not_end_a_job(folder: Folder, command: Command) -> None:
    labels = pa.array([b"few", b"\xff\xfe", b"\xff\xff"], pa.binary()).cast(pa.binary())
    odd = pa.Array.from_buffers(pa.string(), 3, labels.buffers())
    put_table(folder, "in/a.parquet", texts(3).append_column("y", odd))
    assert command(*job(folder, "--label", "y")).code == 0


def flip_footers(folder: str) -> None:
    """Change bytes of the footers of files of several codecs and kinds of pages; whatever follows, it is no abort."""
    columns = job_columns(JobSpec(model="m", input="in", output="out"), WordCount.spec)
    kinds: list[dict[str, str]] = [{"compression": "zstd", "data_page_version": "2.0"}, {"compression": "lz4"}]
    files = [parquet_bytes(texts(300, n=[[1], []] * 150), row_group_size=100, **kind) for kind in kinds]
    for seed in range(600):
        random_ = random.Random(seed)
        body = bytearray(files[seed % 2])
        footer = len(body) - int.from_bytes(body[-8:-4], "little") - 8
        for _ in range(random_.randrange(1, 4)):
            body[random_.randrange(footer, len(body))] ^= random_.randrange(1, 256)
        Path(folder, "a.parquet").write_bytes(body)
        with contextlib.suppress(JobError, UnicodeDecodeError):  # the text of a value, which this reads as a test
            read_all(Path(folder), columns)


def test_a_footer_at_which_pyarrow_would_end_the_process_is_refused(tmp_path: Path) -> None:
    code = f"from tests.batch.test_hostile_parquet import flip_footers; flip_footers({str(tmp_path)!r})"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
