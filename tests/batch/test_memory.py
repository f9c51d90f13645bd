"""Memory is bounded: however many rows a shard has and however wide they are, only so much is on its way at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.bounds import Bounds
from batch.columns import OWN_SOURCE
from batch.in_flight import InFlight
from batch.overlap import overlap
from batch.predict import PredictedRows, Spent, encode_rows
from batch.prepare import prepare_job
from batch.read import gather_windows, read_rows
from batch.run import run_job
from batch.sizes import parse_size
from batch.spec import make_job
from models.window import WindowStats
from tests.batch.command import ROOT, Command, assert_refused, environment, job
from tests.batch.own_models import BulkyModel, FarSightedModel
from tests.batch.places import Folder, put_table, read_output, texts

#: Two wait behind encoding and two behind the arithmetic; each of the three threads has one in hand.
WINDOWS = 2 + 2 + 3
#: A process is ended that has passed its bound by more than the larger of these: see README, Limits.
LATE_SHARE, LATE_BYTES = 0.05, 32 << 20
_COMMAND = "from batch.cli.main import main\nmain()\n"


@pytest.fixture(autouse=True)
def _counted_anew() -> None:
    FarSightedModel.windows = FarSightedModel.decoded = FarSightedModel.waiting = FarSightedModel.most_waiting = (
        FarSightedModel.most_rows
    ) = 0


def run(folder: Folder, **settings: Any) -> int:
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    rows: int = run_job({"model": "tests.batch.own_models:FarSightedModel", **places, **settings})["rows"]
    return rows


def test_no_more_than_a_few_windows_are_on_their_way(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(9_000), row_group_size=2_000)
    put_table(folder, "in/b.parquet", texts(3_000))
    assert run(folder, window_rows=100) == 12_000
    assert 1 < FarSightedModel.most_waiting <= WINDOWS
    assert FarSightedModel.most_rows == 100
    assert FarSightedModel.waiting == 0


def test_the_first_window_of_a_shard_is_small_so_that_the_arithmetic_need_not_wait_for_a_whole_one(
    folder: Folder,
) -> None:
    put_table(folder, "in/a.parquet", texts(3_000))
    assert run(folder, window_rows=1000) == 3_000
    assert FarSightedModel.windows == 6, "128, 256, 512, twice a thousand, and the rest"
    assert FarSightedModel.most_rows == 1000


def test_wide_rows_come_in_smaller_windows(folder: Folder) -> None:
    wide = 4 << 20
    put_table(
        folder, "in/a.parquet", pa.table({"text": [f"{i} " + "x" * wide for i in range(40)]}), use_dictionary=False
    )
    assert run(folder, window_rows=1000) == 40
    assert 1 <= FarSightedModel.most_rows <= Bounds().window_bytes // wide


def test_small_objects_and_sparse_rows_are_gathered_to_windows(folder: Folder) -> None:
    for number in range(40):
        put_table(folder, f"in/{number:02}.parquet", texts(20, first=20 * number), row_group_size=7)
    assert run(folder, window_rows=100) == 800
    assert FarSightedModel.windows <= 10
    assert FarSightedModel.most_rows <= 100
    assert read_output(folder)["id"].to_pylist() == list(range(800))
    FarSightedModel.windows = 0
    assert run(folder, window_rows=100, output=folder.url + "some/", where="id < 3 OR id > 796 OR id = 400") == 7
    assert FarSightedModel.windows == 1


class SlowReader:
    """A progress that holds the writer up at the first window, and looks how far the decoding is ahead of it."""

    def __init__(self) -> None:
        self.written = self.most_ahead = 0

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        pass

    def told(self, event: str, **facts: object) -> None:
        pass

    def advanced(self, rows: int) -> None:
        if rows:
            self.written += 1
            time.sleep(0.3 * (self.written == 1))
            self.most_ahead = max(self.most_ahead, FarSightedModel.decoded - self.written)


def test_answers_that_wait_for_the_writer_are_bounded_in_bytes(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put_table(folder, "in/a.parquet", texts(300))
    settings = {"model": "tests.batch.own_models:FarSightedModel", "input": folder.url + "in/", "window_rows": 10}
    for answered_bytes, most in ((1, 2), (1 << 20, 40)):
        FarSightedModel.decoded = 0
        bounds, progress = Bounds(answered_bytes=answered_bytes), SlowReader()
        monkeypatch.setattr("batch.worker.share_memory", lambda memory, bounds=bounds: bounds)
        run_job({**settings, "output": f"{folder.url}{answered_bytes}/"}, progress=progress)
        assert progress.written == 30
        assert most // 8 < progress.most_ahead <= most


@pytest.fixture(scope="module")
def large_group(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """One row group of 336 MB that no compression makes smaller."""
    folder = Folder(tmp_path_factory.mktemp("large"))
    octets = np.random.default_rng(0).integers(97, 123, 280_000 * 1200, np.uint8)
    offsets = pa.array(np.arange(0, len(octets) + 1, 1200, dtype=np.int32))
    column = pa.StringArray.from_buffers(280_000, offsets.buffers()[1], pa.py_buffer(octets))
    table = pa.table({"id": np.arange(280_000), "text": column})
    (folder.folder / "in").mkdir()
    pq.write_table(table, folder.folder / "in/a.parquet", row_group_size=280_000, use_dictionary=False)
    return folder


@pytest.mark.parametrize("keep", ["id", "id,text"])
def test_a_row_group_of_330_mb_goes_through_a_process_of_300_mb(large_group: Folder, keep: str) -> None:
    words = job(large_group, "--memory", "300MB", "--keep", keep, model="tests.batch.own_models:ConstantModel")
    output = words.index("--output") + 1
    words = (*words[:output], f"{large_group.url}{keep.replace(',', '-')}/", *words[output + 1 :])
    most, said = most_held(words)
    assert "280,000 rows in 1 part, 0 error rows" in said
    assert 50e6 < most < late(300e6)


def test_rows_of_5_mb_among_small_ones_go_through_a_process_of_260_mb(folder: Folder) -> None:
    """What malloc would keep of their blocks for later ones is more than the bound leaves."""
    octets = np.random.default_rng(0).integers(97, 123, 5_000_000, np.uint8).tobytes().decode()
    texts = [f"{n}{octets}" if n % 250 == 100 else f"the row {n}" for n in range(10_000)]
    table = pa.table({"id": range(10_000), "text": texts})
    put_table(folder, "in/a.parquet", table, row_group_size=5_000, use_dictionary=False)
    model = "tests.batch.own_models:ConstantModel"
    most, said = most_held(job(folder, "--memory", "260MB", "--keep", "id,text", model=model))
    assert "10,000 rows in 2 parts, 0 error rows" in said
    assert 50e6 < most < late(260e6)


def late(bound_bytes: float) -> float:
    """Where a process under such a bound is ended."""
    return bound_bytes + max(LATE_SHARE * bound_bytes, LATE_BYTES)


def most_held(words: tuple[str, ...]) -> tuple[int, str]:
    """The most that a job's process held, and what it said; it ended well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batch.cli.main", *words],
        cwd=ROOT, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    # Looked at from outside: the job has the kernel count its own peak anew when the model is about to load.
    most = 0
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        most = max([most, *(peak_of(pid) for pid in (process.pid, *children_of(process.pid)))])
        time.sleep(0.02)
    process.kill()
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return most, said


def children_of(pid: int) -> list[int]:
    """The processes that a process has started; a command's guardian starts the one that does the job."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def peak_of(pid: int) -> int:
    """The most that a process held since it was last counted anew; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("20MB", "--memory 20MB is too little: with its model loaded the process holds"),
        ("lots", "such as 512MB, 1.5GB or 2GiB, found 'lots'"),
        ("1.5", "such as 512MB, 1.5GB or 2GiB, found '1.5'"),
        ("0GB", "such as 512MB, 1.5GB or 2GiB, found '0GB'"),
    ],
)
def test_a_bound_that_is_none_or_too_low_is_refused_before_the_output_is_claimed(
    folder: Folder, command: Command, size: str, said: str
) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    assert_refused(command(*job(folder, "--memory", size)), 2, said)
    assert not folder.etags("out/_tandem/job")


def test_workers_share_the_bound(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    put_table(folder, "in/b.parquet", texts(10))
    command = [sys.executable, "-m", "batch.cli.main", *job(folder, "--workers", "2", "--shard-mb", "0.0001")]
    little, enough = (
        subprocess.run([*command, "--memory", size], cwd=ROOT, env=environment({}), capture_output=True, text=True)
        for size in ("300MB", "1GB")
    )
    assert little.returncode == 2
    assert "for its rows and 2 workers; give it" in little.stderr
    assert enough.returncode == 0, enough.stderr
    assert read_output(folder).num_rows == 20


def test_what_the_process_held_before_the_job_is_not_held_against_it(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    before = "octets = bytearray(600 << 20)\nfor i in range(0, len(octets), 4096): octets[i] = 1\ndel octets\n"
    words = job(folder, "--memory", "300MB")
    ended = subprocess.run(
        [sys.executable, "-c", before + _COMMAND, *words],
        cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_sizes_are_read_as_people_write_them() -> None:
    assert [parse_size(size) for size in ("512MB", "1.5GB", "2GiB", "64 kib", "300000000B")] == [
        512 * 10**6, 15 * 10**8, 2 << 30, 64 << 10, 3 * 10**8,
    ]  # fmt: skip


def test_the_wider_the_rows_the_fewer_are_between_reading_and_writing() -> None:
    flight = InFlight(1_000)
    sizes = [100] * 30 + [5_000, 100, 5_000] + [400] * 9
    windows = [pa.RecordBatch.from_pydict({"octets": [bytes(size)]}) for size in sizes]
    admitted = overlap(flight.admit(windows, lambda rows: rows), ahead=100, name="read")
    predicted = (PredictedRows(rows=r, predictions=r, stats=WindowStats(), spent=Spent()) for r in admitted)
    passed = []
    for window in flight.release(predicted):
        assert flight.held_bytes <= max(1_000, window.rows.nbytes)
        passed.append(window.rows)
    assert passed == windows
    assert flight.held_bytes == 0


@pytest.mark.parametrize(("size", "most"), [(100, 10), (400, 3), (2_000, 2), (9_000, 1)])
def test_of_small_windows_more_are_let_in_than_of_large_ones(size: int, most: int) -> None:
    flight = InFlight(5_000, windows=3, small_bytes=1_000)
    windows = [pa.RecordBatch.from_pydict({"octets": pa.array([bytes(size)], pa.binary(size))})] * 20
    seen: list[int] = []

    def read() -> None:
        seen.extend(window.num_rows for window in flight.admit(windows, lambda rows: rows))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(0.2)
    assert reader.is_alive(), "it waits for room"
    flight.close()
    reader.join(10)
    assert len(seen) == most


def test_windows_grow_beyond_the_usual_rows_only_while_they_are_small() -> None:
    for width, most_rows in ((20, 65_536), (100, 16_384), (300, 4_096)):
        rows = pa.RecordBatch.from_pydict({"octets": pa.array([bytes(width)] * 65_536, pa.binary(width))})
        windows = gather_windows([rows] * 3, window_rows=1 << 20, window_bytes=16 << 20)
        assert max(window.num_rows for window in windows) == most_rows


def test_the_name_of_its_source_costs_a_row_next_to_nothing_until_it_is_written(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(2_000))
    most = 0
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    spec = make_job({"model": "tests.batch.own_models:FarSightedModel", "keep": ["id"], **places})
    prepared = prepare_job(spec)
    ((plan, shard),) = prepared.shards
    for window in read_rows(prepared.source, shard, prepared.columns, plan.schema, window_rows=1_000):
        most = max(most, window.column(OWN_SOURCE).nbytes / window.num_rows)
    assert most < len(folder.url)
    assert run_job(spec)["rows"] == 2_000
    assert read_output(folder).schema.field("_source").type == pa.string()


def test_a_reader_that_waits_for_room_is_let_go_when_the_job_ends() -> None:
    flight = InFlight(10)
    rows = pa.RecordBatch.from_pydict({"octets": [bytes(100)]})
    seen: list[int] = []
    asked = threading.Event()

    def measured(window: pa.RecordBatch) -> pa.RecordBatch:
        if seen:
            asked.set()  # the first is on its way, so from here on there is no room
        return window

    def read() -> None:
        for window in flight.admit([rows] * 2, measured):
            seen.append(window.num_rows)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert asked.wait(10)
    reader.join(0.2)
    assert reader.is_alive(), "it waits for room"
    flight.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == [1]


@pytest.mark.parametrize(
    ("least", "sizes"), [(1, [16, 10, 10, 4, 10, 10, 10, 10]), (20, [16, 20, 4, 20, 20]), (99, [16, 24, 40])]
)
def test_pictures_that_unpack_to_much_are_encoded_few_at_a_time(least: int, sizes: list[int]) -> None:
    windows = [
        pa.RecordBatch.from_pydict({"n": list(range(first, first + 40)), "image": [b"x"] * 40}) for first in (0, 40)
    ]
    bounds = Bounds(encoded_bytes=10 * BulkyModel.ARRAY, encoded_rows=least)
    encoded = list(encode_rows(BulkyModel(), ((rows, Spent()) for rows in windows), column="image", bounds=bounds))
    assert [window.encoded.rows for window in encoded] == sizes
    assert [n for window in encoded for n in window.rows.column("n").to_pylist()] == list(range(80))


_BOUND = """
from models.footprint import bound_micro_batches
from tests.batch.own_models import HungryModel
model = HungryModel()
bound_micro_batches(model, 10 * HungryModel.HUNGER)
print(model.max_padded, 10)
"""

_PREPARE = """
import sys
from batch.bounds import share_memory
from batch.prepare import prepare_job
from batch.spec import make_job
fit = share_memory("2GB").arithmetic_bytes // (8 << 20)
place, model = sys.argv[1], "tests.batch.own_models:KeepingModel"
job = make_job({"model": model, "memory": "2GB", "input": place + "in/", "output": place + "out/"})
print(prepare_job(job).model.max_padded, fit)
"""


def padded(script: str, *words: str) -> tuple[int, int]:
    """Rows that a process of its own bounds a micro-batch to, and those that fit: one that has done other things has
    memory at hand, which no call shows then, and less to share out."""
    ended = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    rows, fit = map(int, ended.stdout.split())
    return rows, fit


def test_a_bounded_job_plans_no_micro_batch_that_would_not_fit() -> None:
    rows, fit = padded(_BOUND)
    assert 0.5 * fit <= rows <= 1.2 * fit


def test_what_the_arithmetic_needs_is_tried_at_the_models_first_call(folder: Folder) -> None:
    """After the gate's calls, memory that a runtime keeps would not show any more."""
    put_table(folder, "in/a.parquet", texts(10))
    rows, fit = padded(_PREPARE, folder.url)
    assert 1 <= rows <= 1.5 * fit
