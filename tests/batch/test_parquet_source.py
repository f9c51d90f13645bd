"""Parquet is read in few requests, of one version, in bounded memory; what is no Parquet is named."""

import io
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import InputChanged, InputNotFound, StoreUnavailable, UnreadableParquet
from batch.parquet_source import BUFFER_BYTES, PinnedFile, coalesce_ranges, column_ranges, read_footer
from batch.stores.local_store import LocalStore
from batch.stores.s3_store import S3Store
from batch.stores.storage import ObjectInfo
from tests.fault_proxy import FaultProxy, Rule

MIB = 2**20


class CountingStore(LocalStore):
    """A folder that counts what is read of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reads: list[tuple[int, int | None]] = []

    def read(self, key: str, *, etag: str | None = None, start: int = 0, stop: int | None = None) -> bytes:
        self.reads.append((start, stop))
        return super().read(key, etag=etag, start=start, stop=stop)


@pytest.fixture
def table() -> pa.Table:
    ids = np.arange(60_000)
    return pa.table(
        {
            "id": ids,
            "body": [f"text {number} " * 5 for number in ids],
            "vector": [[float(number), 0.5] for number in ids],
            "kind": pa.array(["a", "b", None] * 20_000).dictionary_encode(),
            "deep": [{"er": int(number)} for number in ids],
        }
    )


@pytest.fixture
def store(tmp_path: Path, table: pa.Table) -> CountingStore:
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=10_000)
    return CountingStore(tmp_path)


def only(store: CountingStore) -> ObjectInfo:
    (info,) = store.list()
    return info


def test_a_footer_costs_one_request(store: CountingStore, table: pa.Table) -> None:
    footer = read_footer(store, only(store))
    assert footer.num_rows == 60_000
    assert footer.schema.to_arrow_schema().equals(table.schema)
    assert len(store.reads) == 1


def test_a_footer_over_64_kib_costs_two(tmp_path: Path) -> None:
    wide = pa.table({f"column_{number}": [number] for number in range(1_500)})
    pq.write_table(wide, tmp_path / "wide.parquet")
    store = CountingStore(tmp_path)
    assert read_footer(store, only(store)).num_columns == 1_500
    assert len(store.reads) == 2


@pytest.mark.parametrize("columns", [["body"], ["id", "vector"], ["kind", "deep"], None])
def test_what_is_prefetched_is_read_once_and_let_go(
    store: CountingStore, table: pa.Table, columns: list[str] | None
) -> None:
    info = only(store)
    footer = read_footer(store, info)
    with PinnedFile(store, info) as file:
        source = pq.ParquetFile(file, metadata=footer)
        for row_group in range(footer.num_row_groups):
            ranges = column_ranges(footer, [row_group], columns)
            store.reads.clear()
            file.prefetch(ranges)
            got = source.read_row_group(row_group, columns=columns)
            assert got.equals(table.slice(row_group * 10_000, 10_000).select(columns or table.column_names))
            assert sorted(store.reads) == coalesce_ranges(ranges)
            assert file.held_bytes == 0


def test_reading_by_batches_reads_nothing_twice(store: CountingStore, table: pa.Table) -> None:
    info = only(store)
    footer = read_footer(store, info)
    with PinnedFile(store, info) as file:
        source = pq.ParquetFile(file, metadata=footer)
        ranges = column_ranges(footer, [1, 3], ["id", "body"])
        store.reads.clear()
        file.prefetch(ranges)
        batches = list(source.iter_batches(batch_size=999, row_groups=[1, 3], columns=["id", "body"]))
        assert sum(batch.num_rows for batch in batches) == 20_000
        assert len(store.reads) == len(coalesce_ranges(ranges))
        assert file.held_bytes == 0


def test_what_was_not_prefetched_is_read_all_the_same(store: CountingStore, table: pa.Table) -> None:
    info = only(store)
    with PinnedFile(store, info) as file:
        file.prefetch([(0, 10), (100, 200)])
        assert pq.ParquetFile(file).read().equals(table)


def test_it_is_a_file(store: CountingStore, tmp_path: Path) -> None:
    content = (tmp_path / "f.parquet").read_bytes()
    with PinnedFile(store, only(store)) as file:
        assert file.read(4) == b"PAR1"
        assert file.tell() == 4
        assert file.seek(-4, io.SEEK_END) == len(content) - 4 == file.size() - 4
        assert file.read() == b"PAR1"
        assert file.read() == b""
        file.seek(10)
        file.seek(5, io.SEEK_CUR)
        file.prefetch([(0, 40), (60, 100)])
        assert file.read(50) == content[15:65]
        assert not file.closed
    assert file.closed


def test_ranges_are_joined_over_small_gaps_and_cut_at_16_mib() -> None:
    assert coalesce_ranges([(5, 9), (0, 4), (9, 9)]) == [(0, 9)]
    assert coalesce_ranges([(0, 1), (1 + MIB, 2 + MIB)]) == [(0, 2 + MIB)]
    assert coalesce_ranges([(0, 1), (2 + MIB, 3 + MIB)]) == [(0, 1), (2 + MIB, 3 + MIB)]
    assert coalesce_ranges([(0, 40 * MIB)]) == [(0, 16 * MIB), (16 * MIB, 32 * MIB), (32 * MIB, 40 * MIB)]


def test_a_range_over_several_requests_is_put_together(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(33 * MIB)
    (tmp_path / "large").write_bytes(content)
    store = CountingStore(tmp_path)
    with PinnedFile(store, only(store)) as file:
        file.prefetch([(10, len(content))])
        file.seek(10)
        assert file.read(20 * MIB) == content[10 : 10 + 20 * MIB]
        assert file.held_bytes < 18 * MIB
        assert file.read() == content[10 + 20 * MIB :]
        assert len(store.reads) == 3


def test_a_large_row_group_is_fetched_a_bounded_piece_ahead_of_its_reader(tmp_path: Path) -> None:
    octets = np.random.default_rng(0).integers(0, 1 << 62, (3, 1_000_000))
    table = pa.table({"a": octets[0], "b": octets[1], "few": np.zeros(1_000_000, np.int8), "c": octets[2]})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=1_000_000, use_dictionary=False)
    store = CountingStore(tmp_path)
    info = only(store)
    footer = read_footer(store, info)
    held = []
    with PinnedFile(store, info, ahead_bytes=2 * MIB) as file:
        source = pq.ParquetFile(file, metadata=footer, pre_buffer=False, buffer_size=BUFFER_BYTES)
        store.reads.clear()
        file.prefetch(column_ranges(footer, [0]))
        rows = []
        for batch in source.iter_batches(10_000, use_threads=False):
            held.append(file.held_bytes)
            rows.append(batch)
    assert pa.Table.from_batches(rows).equals(table)
    assert max(held) <= 2 * MIB
    asked = sorted(store.reads)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(asked)), "nothing is fetched twice"
    assert len(asked) <= 24 * MIB // (2 * MIB // 8) + 8


@pytest.mark.parametrize("prefetched", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused_by_name(
    store: CountingStore, tmp_path: Path, table: pa.Table, prefetched: bool
) -> None:
    info = only(store)
    footer = read_footer(store, info)
    pq.write_table(table.slice(1), tmp_path / "f.parquet", row_group_size=10_000)
    with PinnedFile(store, info) as file:
        if prefetched:
            file.prefetch(column_ranges(footer, [0]))
        with pytest.raises(InputChanged, match=r"f\.parquet changed"):
            pq.ParquetFile(file, metadata=footer).read_row_group(0)
    with pytest.raises(InputChanged):
        read_footer(store, info)
    (tmp_path / "f.parquet").unlink()
    with pytest.raises(InputNotFound):
        read_footer(store, info)


def _whole() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(1000))}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (bytes(1000), "truncated, or no Parquet"),
        (b"id,text\n1,hello\n", "truncated, or no Parquet"),
        (b"PAR1", "truncated, or no Parquet"),
        (_whole()[:-100], "truncated, or no Parquet"),
        (_whole()[100:], "and the data end at"),
        (_whole()[:-4] + b"PARE", "encrypted"),
        (b"PAR1" + b"\xff" * 100 + (100).to_bytes(4, "little") + b"PAR1", "its footer is damaged"),
        (b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1", "its footer claims 2,147,483,655 bytes and the object has 12"),
    ],
)
def test_what_is_no_parquet_is_named_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "f.parquet").write_bytes(content)
    store = CountingStore(tmp_path)
    with pytest.raises(UnreadableParquet, match=reason) as caught:
        read_footer(store, only(store))
    assert str(caught.value).startswith(f"{tmp_path}/f.parquet is not readable as Parquet: ")
    assert "\n" not in str(caught.value)


def test_no_rows_and_no_row_groups_are_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "f.parquet")
    store = CountingStore(tmp_path)
    footer = read_footer(store, only(store))
    assert footer.num_rows == 0
    assert column_ranges(footer, range(footer.num_row_groups), ["id"]) is not None


def test_s3_is_read_the_same_way_through_faults(
    bucket: str, proxy: FaultProxy, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=20_000)
    store = S3Store(bucket, endpoint_url=proxy.url, max_attempts=3)
    store.put_if_absent("f.parquet", tmp_path / "f.parquet", attempt="one")
    (info,) = store.list()
    faults: list[Any] = ["truncate", "reset"]
    for fault in faults:
        proxy.add(Rule(fault=fault, method="GET", path=r"f\.parquet"))
        footer = read_footer(store, info)
        with PinnedFile(store, info) as file:
            file.prefetch(column_ranges(footer, range(footer.num_row_groups)))
            assert pq.ParquetFile(file, metadata=footer).read().equals(table)
    assert all(seen.headers["if-match"] == f'"{info.etag}"' for seen in proxy.requests("GET", r"f\.parquet"))

    proxy.add(Rule(fault="truncate", method="GET", path=r"f\.parquet", times=None))
    with PinnedFile(store, info) as file:
        file.prefetch(column_ranges(footer, [0]))
        with pytest.raises(StoreUnavailable):
            pq.ParquetFile(file, metadata=footer).read_row_group(0)


class DistantStore(CountingStore):
    """Takes a while for every request."""

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        time.sleep(0.06)
        return super().read(*args, **kwargs)


@pytest.mark.parametrize(("kind", "grows"), [(CountingStore, False), (DistantStore, True)])
def test_more_is_fetched_ahead_only_of_a_store_that_the_reader_has_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CountingStore], grows: bool
) -> None:
    if not grows:
        monkeypatch.setattr("batch.parquet_source.SLOW_S", 10.0)  # this machine may be busy
    content = np.random.default_rng(0).bytes(6 * MIB)
    (tmp_path / "large").write_bytes(content)
    store = kind(tmp_path)
    with PinnedFile(store, only(store), ahead_bytes=MIB, most_ahead_bytes=4 * MIB) as file:
        file.prefetch([(0, len(content))])
        most = 0
        for start in range(0, len(content), MIB // 4):
            assert file.read(MIB // 4) == content[start : start + MIB // 4]
            most = max(most, file.held_bytes)
        assert file.ahead_bytes == (4 * MIB if grows else MIB)
        assert (most > MIB) == grows
