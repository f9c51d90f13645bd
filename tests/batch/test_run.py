"""A job from its input to what people read: every row once, in order, where it belongs and readable everywhere."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from batch.errors import InputNotFound, SchemaMismatch, UsageError
from batch.report import Manifest
from batch.run import run_job
from tests.batch.conftest import ZOO
from tests.batch.own_models import MANY
from tests.batch.places import (
    WORD_COUNT,
    Bucket,
    Folder,
    Place,
    part_keys,
    put_table,
    read_json,
    read_output,
    read_parts,
    texts,
)
from tests.fault_proxy import FaultProxy


def run(place: Place, **settings: Any) -> Manifest:
    """A job that counts words, from `in/` to `out/`."""
    places = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/"}
    return run_job(places | settings)


def expected_labels(table: pa.Table) -> list[str]:
    return ["many" if len(text.split()) >= MANY else "few" for text in table["text"].to_pylist()]


def test_every_row_comes_out_once_in_input_order_and_joins_back(place: Place) -> None:
    tables = {"in/b.parquet": texts(2500), "in/deep/c.parquet": texts(700, first=5000), "in/a.parquet": texts(1)}
    for key, table in tables.items():
        put_table(place, key, table, row_group_size=600)
    manifest = run(place, window_rows=256)
    found = read_output(place)
    assert manifest["rows"] == found.num_rows == manifest["input_rows"] == 3201
    assert manifest["error_rows"] == 0
    for key, table in tables.items():
        mine = found.filter(pa.compute.equal(found["_source"], place.url + key))
        assert mine["_row"].to_pylist() == list(range(table.num_rows))
        assert mine["id"].to_pylist() == table["id"].to_pylist()
        assert mine["label"].to_pylist() == expected_labels(table)
    written = pa.concat_tables(read_parts(place).values())
    order = list(zip(written["_source"].to_pylist(), written["_row"].to_pylist(), strict=True))
    assert order == sorted(order)


def test_the_zoos_model_over_a_bucket_is_as_accurate_as_it_says(s3_place: Bucket, vowels: Path) -> None:
    table = pq.read_table(ZOO / "data" / "vowels.parquet")
    put_table(s3_place, "in/vowels.parquet", table)
    manifest = run(s3_place, model=str(vowels), label="speaker", keep=["id"])
    found = read_output(s3_place)
    truth, labels = table["speaker"].to_pylist(), found["label"].to_pylist()
    quality = manifest["quality"]
    assert quality["rows"] == 370
    assert quality["accuracy"] == pytest.approx(accuracy_score(truth, labels))
    assert quality["accuracy"] > 0.96
    names = quality["labels"]
    assert quality["confusion"] == confusion_matrix(truth, labels, labels=names).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(truth, labels, labels=names)
    for i, name in enumerate(names):
        facts = quality["classes"][name]
        assert (facts["precision"], facts["recall"], facts["f1"]) == pytest.approx((precision[i], recall[i], f1[i]))
        assert facts["rows"] == support[i]
    assert read_json(s3_place, "out/_tandem/manifest.json") == manifest


def test_rows_without_a_label_and_error_rows_are_not_judged(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["a", None, "b", "c"], "truth": ["few", "few", None, "many"]}))
    manifest = run(folder, label="truth")
    assert manifest["quality"]["rows"] == 2
    assert manifest["quality"]["accuracy"] == 0.5
    assert manifest["errors"] == {"NullValue": 1}


HIVE = {
    "in/lang=en/year=2024/a.parquet": texts(5),
    "in/lang=en/year=2025/a.parquet": texts(6),
    "in/lang=pt%2Dbr/year=2024/a.parquet": texts(7),
    "in/lang=__HIVE_DEFAULT_PARTITION__/year=2024/a.parquet": texts(8),
}


def test_hive_partitions_are_the_outputs_folders_and_no_column_of_its_parts(place: Place) -> None:
    for key, table in HIVE.items():
        put_table(place, key, table)
    assert run(place)["rows"] == 26
    folders = {key.rpartition("/")[0].removeprefix("out/") for key in part_keys(place)}
    assert folders == {key.rpartition("/")[0].removeprefix("in/") for key in HIVE}
    for key, part in read_parts(place).items():
        assert {"lang", "year"}.isdisjoint(part.schema.names)
        assert part["_source"].to_pylist()[0].startswith(place.url + "in/" + key.rpartition("/")[0][4:])


def test_a_partition_named_like_a_prediction_gets_another_name_as_a_column_does(folder: Folder) -> None:
    put_table(folder, "in/label=few/a.parquet", texts(7))
    put_table(folder, "in/label=many/a.parquet", texts(7))
    manifest = run(folder, label="label", where="label = 'many'")
    assert manifest["quality"]["accuracy"] == pytest.approx(4 / 7)
    assert {key.split("/")[1] for key in part_keys(folder)} == {"input_label=few", "input_label=many"}
    found = duckdb.sql(
        f"SELECT input_label, label FROM read_parquet('{folder.url}out/*/*.parquet', hive_partitioning=true)"
    )
    assert sorted(found.fetchall()) == [("many", "few")] * 3 + [("many", "many")] * 4


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("lang = 'en'", 11),
        ("lang = 'pt-br'", 7),
        ("lang IS NULL", 8),
        ("year = 2024 AND lang IS NOT NULL", 12),
        ("lang = 'en' AND id > 3", 3),
        ("NOT lang = 'en'", 7),
        ("lang = 'xx'", 0),
    ],
)
def test_where_on_partitions_and_columns_is_what_duckdb_finds(folder: Folder, where: str, rows: int) -> None:
    for key, table in HIVE.items():
        put_table(folder, key, table)
    assert run(folder, where=where)["rows"] == rows
    pattern = f"{folder.url}in/*/*/*.parquet"
    asked = f"SELECT count(*) FROM read_parquet('{pattern}', hive_partitioning=true) WHERE {where}"
    assert duckdb.sql(asked).fetchall() == [(rows,)]


def test_partition_values_that_only_look_like_numbers_stay_text(folder: Folder) -> None:
    for value in ("01", "99999999999999999999", "٣"):
        put_table(folder, f"in/n={value}/a.parquet", texts(3))
    assert run(folder, where="n = '٣' OR n = '01'")["rows"] == 6


def test_where_fetches_no_row_group_that_cannot_match(s3_place: Bucket, proxy: FaultProxy) -> None:
    place = s3_place
    fat = texts(20_000).append_column("ballast", pa.array([str(i * 7919 % 1_000_003) * 40 for i in range(20_000)]))
    put_table(place, "in/a.parquet", fat, row_group_size=1000, compression="none")
    size = len(place.get("in/a.parquet"))
    assert size > 4_000_000
    manifest = run(place, where="id >= 5500 AND id < 6500", keep=["id", "ballast"], endpoint_url=proxy.url)
    assert manifest["rows"] == 1000
    assert read_output(place)["id"].to_pylist() == list(range(5500, 6500))
    ranges = [seen.headers["range"].removeprefix("bytes=") for seen in proxy.requests("GET", "in/a.parquet")]
    fetched = sum(int(stop) - int(start) + 1 for start, _, stop in (text.partition("-") for text in ranges))
    assert fetched < size * 4 / 20, ranges


def test_columns_that_nobody_asked_for_are_not_fetched(s3_place: Bucket, proxy: FaultProxy) -> None:
    place = s3_place
    fat = texts(3000).append_column("ballast", pa.array([str(i * 7919) * 400 for i in range(3000)]))
    put_table(place, "in/a.parquet", fat, compression="none")
    run(place, keep=["id"], endpoint_url=proxy.url)
    ranges = [seen.headers["range"].removeprefix("bytes=") for seen in proxy.requests("GET", "in/a.parquet")]
    fetched = sum(int(stop) - int(start) + 1 for start, _, stop in (text.partition("-") for text in ranges))
    assert fetched < 400_000 < len(place.get("in/a.parquet")) / 10


def test_of_a_limit_exactly_the_first_rows_come_out(folder: Folder) -> None:
    for n, key in enumerate(["in/a.parquet", "in/b.parquet", "in/c.parquet"]):
        put_table(folder, key, texts(50, first=50 * n), row_group_size=20)
    assert run(folder, limit=75)["rows"] == 75
    assert read_output(folder)["id"].to_pylist() == list(range(75))
    assert run(folder, limit=1000, output=folder.url + "all/")["rows"] == 150


def test_a_limit_counts_rows_behind_the_condition(folder: Folder) -> None:
    for n, key in enumerate(["in/a.parquet", "in/b.parquet", "in/c.parquet"]):
        put_table(folder, key, texts(50, first=50 * n), row_group_size=20)
    assert run(folder, limit=12, where="id >= 45 AND id <> 50 OR id = 7")["rows"] == 12
    assert read_output(folder)["id"].to_pylist() == [7, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56]


def test_keep_says_which_columns_go_along(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(3, more=[1.5, None, 2.5], unused=["x"] * 3))
    run(folder, keep=["more", "text"])
    own = ["_source", "_row", "label", "score", "scores", "truncated", "error"]
    assert read_output(folder).schema.names == ["more", "text", *own]
    run(folder, keep=[], output=folder.url + "none/")
    assert read_output(folder, "none/").schema.names == own
    run(folder, output=folder.url + "default/")
    assert read_output(folder, "default/").schema.names == ["id", "more", "unused", *own]


def test_a_column_named_like_a_prediction_is_kept_under_another_name(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(3, label=["x", "y", "z"], error=[1, 2, 3]))
    run(folder, label="label", where="error < 3")
    found = read_output(folder)
    assert found["input_label"].to_pylist() == ["x", "y"]
    assert found["input_error"].to_pylist() == [1, 2]
    assert found["label"].to_pylist() == ["few", "few"]


def test_a_name_that_stays_taken_is_refused_before_anything_is_written(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(3, input_label=["x"] * 3, label=["y"] * 3))
    with pytest.raises(UsageError, match="'label' has no free name"):
        run(folder)
    assert "out/_tandem/plan-0.json" not in folder.etags()


def test_the_output_of_one_job_is_the_input_of_the_next(place: Place) -> None:
    put_table(place, "in/a.parquet", texts(9))
    run(place, keep=["text"])
    run(place, input=place.url + "out/", output=place.url + "second/", where="_row > 3")
    found = read_output(place, "second/")
    assert found["input__row"].to_pylist() == found["_row"].to_pylist() == [4, 5, 6, 7, 8]
    assert found["input__source"].to_pylist() == [place.url + "in/a.parquet"] * 5
    assert found["_source"].to_pylist() == [place.url + part_keys(place)[0]] * 5


def test_output_inside_the_input_is_no_input_of_its_own(place: Place) -> None:
    put_table(place, "in/a.parquet", texts(4))
    assert run(place, output=place.url + "in/predicted/", keep=["text"])["rows"] == 4
    again = run(place, output=place.url + "in/predicted/", keep=["text"])
    assert (again["plans"], again["rows"], again["run"]["rows"]) == (1, 4, 0)


def test_a_link_to_the_output_among_the_input_brings_no_part_in(folder: Folder, tmp_path: Path) -> None:
    put_table(folder, "in/a.parquet", texts(4))
    (tmp_path / "place/in/elsewhere").symlink_to(tmp_path / "place/out", target_is_directory=True)
    assert run(folder, keep=["text"])["rows"] == 4
    again = run(folder, keep=["text"])
    assert (again["plans"], again["rows"], again["run"]["rows"]) == (1, 4, 0)


def test_output_that_is_the_inputs_own_folder_is_refused(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(4))
    for source in ("in/*.parquet", "in/a.parquet", "in/../in"):
        with pytest.raises(UsageError, match="a folder of its own"):
            run(folder, input=folder.url + source, output=folder.url + "in/")
    assert folder.etags().keys() == {"in/a.parquet"}


def test_single_files_and_globs_are_inputs(place: Place) -> None:
    for key in ("in/x=1/a.parquet", "in/x=1/b.parquet", "in/x=2/a.parquet", "in/x=2/a.pq", "in/_no/a.parquet"):
        put_table(place, key, texts(3))
    for number, (source, rows) in enumerate([("in/x=1/a.parquet", 3), ("in/x=*/a.parquet", 6), ("in/**/*.pq", 3)]):
        output = f"out-{number}/"
        assert run(place, input=place.url + source, output=place.url + output)["rows"] == rows
    assert [key.split("/")[1] for key in part_keys(place, "out-1/")] == ["x=1", "x=2"]


def test_column_maps_the_models_input_to_the_sources(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(3).rename_columns(["id", "body"]))
    with pytest.raises(SchemaMismatch, match=r"lacks text \(string\).*--column text=body"):
        run(folder)
    with pytest.raises(UsageError, match="has no input 'words'; it takes 'text'"):
        run(folder, column={"words": "body"})
    assert run(folder, column={"text": "body"})["rows"] == 3
    assert "body" not in read_output(folder).schema.names


def test_odd_keys_and_column_names_are_kept_as_they_are(place: Place) -> None:
    keys = ["in/a b+c%20d.parquet", "in/ünï/日本 & 'x' #1.parquet", "in/%2F/a=b&c.parquet", "in/k=a b+%41/x.parquet"]
    for key in keys[:3]:
        put_table(place, key, texts(2, **{"a.b": [1, 2], "ü ü": [3, 4], "a": [{"b": 5}, {"b": 6}]}))
    put_table(place, keys[3], texts(2))
    assert run(place, input=place.url + "in/[!k]*/**/*.parquet")["rows"] == 4
    run(place, output=place.url + "one/", input=place.url + keys[0])
    found = read_output(place, "one/")
    assert found["_source"].to_pylist() == [place.url + keys[0]] * 2
    assert found["a.b"].to_pylist() == [1, 2]
    assert found["ü ü"].to_pylist() == [3, 4]
    assert found["a"].to_pylist() == [{"b": 5}, {"b": 6}]
    run(place, output=place.url + "hive/", input=place.url + "in/k=*/*.parquet", where="k = 'a b+A'")
    assert read_output(place, "hive/").num_rows == 2
    assert part_keys(place, "hive/")[0].startswith("hive/k=a b+%41/part-")


MIXED = {
    "a list that one object lacks": (texts(2, more=[[1], [2]]), texts(2)),
    "a struct that one object lacks": (texts(2, more=[{"x": 1}] * 2), texts(2)),
    "a float beside an integer": (texts(2, more=[1, 2]), texts(2, more=[0.5, 1.5])),
    "a dictionary beside text": (texts(2, more=["a", "b"]), texts(2, more=pa.array(["a", "b"]).dictionary_encode())),
    "text of another width": (texts(2), texts(2).cast(pa.schema([("id", pa.int8()), ("text", pa.large_string())]))),
    "one that rules nulls out": (
        texts(2, more=[1, 2]).cast(
            pa.schema(
                [
                    pa.field("id", pa.int64()),
                    pa.field("text", pa.string()),
                    pa.field("more", pa.int64(), nullable=False),
                ]
            )
        ),
        texts(2).select(["text"]),
    ),
    "nothing but nulls": (texts(2, more=pa.nulls(2)), texts(2, more=["a", "b"])),
    "nested fields of other names": (
        texts(2, more=pa.array([[1]] * 2, pa.list_(pa.field("item", pa.int64())))),
        texts(2, more=pa.array([[1]] * 2, pa.list_(pa.field("element", pa.int32(), nullable=False)))),
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_objects_that_differ_in_a_column_give_parts_of_one_schema(folder: Folder, case: str) -> None:
    for key, table in zip(["in/p=1/a.parquet", "in/p=2/b.parquet"], MIXED[case], strict=True):
        put_table(folder, key, table)
    run(folder)
    one, other = read_parts(folder).values()
    assert one.schema.equals(other.schema)
    assert one.num_rows == other.num_rows == 2


def test_pandas_duckdb_and_arrow_read_the_output_alike(folder: Folder) -> None:
    for key, table in list(HIVE.items())[:3]:  # pandas reads no dataset with a null among its folders
        put_table(folder, key, table.append_column("tags", pa.array([["a"]] * table.num_rows)))
    run(folder, limit=16, window_rows=3)
    parts = read_parts(folder)
    assert len({str(part.schema) for part in parts.values()}) == 1
    columns = ["id", "_source", "_row", "label", "score", "lang", "year"]
    arrow = ds.dataset(f"{folder.url}out", format="parquet", partitioning="hive").to_table()
    pandas = pd.read_parquet(f"{folder.url}out")
    duck = duckdb.sql(f"SELECT * FROM read_parquet('{folder.url}out/**/*.parquet', hive_partitioning=true)").to_df()
    expected = arrow.select(columns).to_pandas().sort_values(["_source", "_row"]).reset_index(drop=True)
    assert len(expected) == len(pandas) == len(duck) == 16
    for other in (pandas, duck):
        found = other[columns].sort_values(["_source", "_row"]).reset_index(drop=True)
        for name in columns:
            assert found[name].astype(str).tolist() == expected[name].astype(str).tolist()
    best = duckdb.sql(f"SELECT scores['few'], error IS NULL FROM '{folder.url}out/**/*.parquet'").fetchall()
    assert all(score is not None and good for score, good in best)


def test_parts_are_zstd_and_say_in_their_footer_what_they_are(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["a", None, "b c d e"]}))
    manifest = run(folder)
    (key,) = part_keys(folder)
    metadata = pq.read_metadata(io.BytesIO(folder.get(key)))
    group = metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}
    account = json.loads(metadata.metadata[b"tandem"])
    assert (account["rows"], account["errors"], account["truncated"]) == (3, {"NullValue": 1}, 0)
    assert account["fingerprint"] == manifest["fingerprint"]
    assert account["digest"] == manifest["model"]["digest"]


def test_of_a_partition_without_rows_there_is_a_part_without_rows(folder: Folder) -> None:
    put_table(folder, "in/p=1/a.parquet", texts(0))
    put_table(folder, "in/p=2/a.parquet", texts(3))
    manifest = run(folder)
    assert (manifest["rows"], manifest["shards"]) == (3, 2)
    assert sorted(part.num_rows for part in read_parts(folder).values()) == [0, 3]
    assert len({str(part.schema) for part in read_parts(folder).values()}) == 1


def test_an_input_without_rows_is_a_finished_job_without_rows(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(0))
    assert run(folder)["rows"] == 0
    assert run(folder)["run"]["rows"] == 0
    assert "out/_SUCCESS" in folder.etags()


def test_long_and_foreign_texts_come_out_whole(folder: Folder) -> None:
    odd = ["日本 " * 50_000, "🦊\u0000é ünï", "", " ", "a\nb\tc \u2028 d"]
    put_table(folder, "in/a.parquet", pa.table({"text": odd}))
    assert run(folder, keep=["text"])["error_rows"] == 0
    assert read_output(folder)["text"].to_pylist() == odd


def test_no_files_are_named_as_such(folder: Folder) -> None:
    folder.put("in/readme.txt", b"no Parquet")
    with pytest.raises(InputNotFound, match=r"it has 1 object, and none is named \*\.parquet"):
        run(folder)
    assert not folder.etags("out/")
