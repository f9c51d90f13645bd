"""What the log says of its files: columns, partitions and bounds, as every reader understands them."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from batch.errors import TableRefused
from tests.batch.places import Folder, Place, part_keys, put_table, texts
from tests.batch.table.tables import entries, opened, rows, run

DAY = dt.date(2026, 1, 31)
MOMENT = dt.datetime(2026, 1, 31, 12, 30, 15, 123456)

COLUMNS: dict[str, pa.Array] = {
    "flag": pa.array([True, None, False]),
    "i8": pa.array([1, None, -3], pa.int8()),
    "i16": pa.array([1, None, -3], pa.int16()),
    "i32": pa.array([1, None, -3], pa.int32()),
    "u8": pa.array([1, None, 255], pa.uint8()),
    "u16": pa.array([1, None, 65535], pa.uint16()),
    "u32": pa.array([1, None, 2**32 - 1], pa.uint32()),
    "f32": pa.array([1.5, None, float("nan")], pa.float32()),
    "f64": pa.array([1.5, None, -2.5]),
    "day": pa.array([DAY, None, DAY + dt.timedelta(1)]),
    "zoned": pa.array([MOMENT, None, MOMENT], pa.timestamp("us", "UTC")),
    "naive": pa.array([MOMENT, None, MOMENT], pa.timestamp("us")),
    "nanos": pa.array([MOMENT, None, MOMENT], pa.timestamp("ns", "UTC")),
    "amount": pa.array([Decimal("1.25"), None, Decimal("-3.50")], pa.decimal128(10, 2)),
    "octets": pa.array([b"x", None, b"yz"]),
    "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "words": pa.array([["a"], None, []], pa.list_(pa.string())),
    "point": pa.array([{"x": 1, "y": None}, None, {"x": 2, "y": "z"}]),
    "kind": pa.array(["a", None, "a"]).dictionary_encode(),
    "large": pa.array(["a", None, "b"], pa.large_string()),
    "counts": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
}


def test_columns_of_every_type_come_back_as_they_were(folder: Folder) -> None:
    table = pa.table({"text": ["a", "b c", "d"], **COLUMNS})
    put_table(folder, "in/a.parquet", table)
    run(folder)
    found = rows(folder)
    for name, column in COLUMNS.items():
        plain = pa.chunked_array([column]).cast(column.type.value_type) if name == "kind" else column
        expected, got = plain.to_pylist(), found[name].to_pylist()
        if name == "f32":
            assert np.isnan(got[2])
            expected, got = expected[:2], got[:2]
        if name == "nanos":
            expected = [None if value is None else value.to_pydatetime(warn=False) for value in expected]
        assert got == expected, name


def test_times_are_cut_to_microseconds_as_delta_has_no_finer_ones(folder: Folder) -> None:
    finest = pa.array([1_769_862_615_123_456_789], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    put_table(folder, "in/a.parquet", texts(1, moment=finest))
    run(folder)
    (key,) = part_keys(folder)
    stored = pq.ParquetFile(io.BytesIO(folder.get(key))).schema
    kinds = {stored.column(leaf).name: str(stored.column(leaf).logical_type) for leaf in range(len(stored))}
    assert "timeUnit=microseconds" in kinds["moment"]
    assert rows(folder)["moment"][0].as_py() == dt.datetime(2026, 1, 31, 12, 30, 15, 123456, dt.UTC)


@pytest.mark.parametrize(
    ("column", "name", "reason"),
    [
        (pa.array([1], pa.uint64()), "big", "'big' is uint64"),
        (pa.array([1], pa.time32("ms")), "clock", r"'clock' is time32\[ms\]"),
        (pa.array([None]), "nothing", "'nothing' is null"),
        (pa.array([[1]], pa.list_(pa.uint64())), "deep", "'deep' is uint64"),
        (pa.array([1]), "two words", "' ' in its name"),
        (pa.array([1]), "ID", "'ID' differs from 'id' by upper and lower case only"),
    ],
)
def test_a_column_that_delta_has_not_is_refused_before_anything_is_written(
    folder: Folder, column: pa.Array, name: str, reason: str
) -> None:
    put_table(folder, "in/a.parquet", texts(1, **{name: column}))
    with pytest.raises(TableRefused, match=reason + ".*--keep"):
        run(folder)
    assert folder.etags("out/").keys() <= {"out/_tandem/probe-put"}
    assert run(folder, keep=["id"])["rows"] == 1


HIVE = {
    "in/lang=en/year=2024/a.parquet": 5,
    "in/lang=en/year=2025/a.parquet": 6,
    "in/lang=pt%2Dbr/year=2024/a.parquet": 7,
    "in/lang=a b+ü%25/year=2024/a.parquet": 8,
    "in/lang=__HIVE_DEFAULT_PARTITION__/year=2024/a.parquet": 9,
}


def test_hive_partitions_are_the_tables(place: Place) -> None:
    for number, (key, count) in enumerate(HIVE.items()):
        put_table(place, key, texts(count, first=100 * number))
    run(place)
    table = opened(place)
    assert table.metadata().partition_columns == ["lang", "year"]
    found = rows(place)
    assert found.num_rows == 35
    assert found.schema.field("year").type == pa.int64()
    counts = found.group_by("lang").aggregate([("id", "count")]).to_pylist()
    assert {row["lang"]: row["id_count"] for row in counts} == {"en": 11, "pt-br": 7, "a b+ü%": 8, None: 9}
    english = table.to_pyarrow_table(filters=[("lang", "=", "en"), ("year", "=", 2025)])
    assert sorted(english["id"].to_pylist()) == [*range(100, 106)]


def test_a_folder_that_is_named_like_a_prediction_is_a_column_of_another_name(folder: Folder) -> None:
    for label in ("few", "many"):
        put_table(folder, f"in/label={label}/a.parquet", texts(3))
    run(folder)
    assert opened(folder).metadata().partition_columns == ["input_label"]
    assert sorted(rows(folder)["input_label"].to_pylist()) == ["few"] * 3 + ["many"] * 3


def test_the_log_bounds_what_is_in_each_file(folder: Folder) -> None:
    days = [DAY + dt.timedelta(i) for i in range(100)]
    moments = pa.array([MOMENT + dt.timedelta(i) for i in range(100)], pa.timestamp("us", "UTC"))
    long = ["x" * 100] * 100
    table = texts(100, day=days, moment=moments, long=long, price=np.linspace(0, 1, 100), gap=[None] * 99 + [7])
    put_table(folder, "in/a.parquet", table, row_group_size=50)
    run(folder, shard_mb=0.0001)
    stats = sorted(
        (json.loads(action["add"]["stats"]) for action in entries(folder)[0] if "add" in action),
        key=lambda one: one["minValues"]["id"],
    )
    assert [one["numRecords"] for one in stats] == [50, 50]
    low, high = stats[1]["minValues"], stats[1]["maxValues"]
    assert (low["id"], high["id"], low["_row"], high["_row"]) == (50, 99, 50, 99)
    assert (low["day"], high["day"]) == ("2026-03-22", "2026-05-10")
    assert low["moment"] == "2026-03-22T12:30:15.123Z"
    assert high["moment"] == "2026-05-10T12:30:15.124Z"
    assert (low["label"], high["label"]) == ("few", "many")
    assert not {"long", "price", "score", "error", "scores"} & (low.keys() | high.keys())
    assert [one["nullCount"]["gap"] for one in stats] == [50, 49]
    assert "gap" not in stats[0]["minValues"]
    assert (low["gap"], high["gap"]) == (7, 7)


@pytest.mark.parametrize(
    ("column", "value"), [("id", 77), ("day", DAY + dt.timedelta(77)), ("moment", MOMENT + dt.timedelta(77))]
)
def test_readers_skip_files_by_those_bounds_and_miss_no_row(folder: Folder, column: str, value: Any) -> None:
    days = [DAY + dt.timedelta(i) for i in range(100)]
    moments = pa.array([MOMENT + dt.timedelta(i) for i in range(100)], pa.timestamp("us", "UTC"))
    put_table(folder, "in/a.parquet", texts(100, day=days, moment=moments), row_group_size=10)
    run(folder, shard_mb=0.0001)
    dataset = opened(folder).to_pyarrow_dataset()
    wanted = pa.scalar(value, dataset.schema.field(column).type)
    condition = pc.field(column) == wanted
    assert dataset.to_table(filter=condition)["id"].to_pylist() == [77]
    assert len(part_keys(folder)) == 10
    assert len(list(dataset.get_fragments(filter=condition))) == 1
