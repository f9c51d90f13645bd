"""`tandem retry`: error rows once more, in the parts that are there, and nothing else of them changes."""

from __future__ import annotations

import json
import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.commit import MANIFEST, SUCCESS
from tests.batch.command import assert_refused, tandem
from tests.batch.places import Bucket, Folder, Place, put_table, read_json, read_parts
from tests.batch.retry.faulty import MODELS, OWN, THIRTEEN, errors_of, put_input, retry, run, without_footer
from tests.fault_proxy import FaultProxy


@pytest.mark.parametrize("workers", [1, 2])
def test_after_what_was_wrong_is_mended_the_output_is_as_if_it_had_never_been(
    place: Place, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    put_input(place)
    before = run(place, label="truth")
    parts = place.etags("out/p=")
    monkeypatch.setenv("MENDED", "yes")
    manifest = retry(place, workers=workers)
    whole = run(place, output="whole/", label="truth")
    assert manifest["errors"] == whole["errors"] == {"NullValue": 2}
    assert manifest["quality"] == whole["quality"] != before["quality"]
    assert manifest["digest"] == whole["digest"] != before["digest"]
    assert manifest["retries"] == 2
    assert (manifest["run"], manifest["retried"]["rows"]) == (before["run"], 6)
    assert read_json(place, f"out/{MANIFEST}") == manifest
    assert read_json(place, f"out/{SUCCESS}") == {"plans": 1, "retries": 2}
    found, expected = without_footer(place, "out/"), without_footer(place, "whole/")
    assert found.keys() == expected.keys()
    for key, table in found.items():
        assert table.schema.equals(expected[key].schema, check_metadata=True)
        assert table.drop(["error"]).equals(expected[key].drop(["error"]))
    assert errors_of(place) == {("NullValue", 2): 2}
    now = place.etags("out/p=")
    assert [key for key in parts if now[key] == parts[key]] == [key for key in parts if "/p=2/" in key]


def test_rows_that_fail_again_stay_error_rows_and_their_attempts_are_counted_up(finished: Place) -> None:
    before, digest = without_footer(finished, "out/"), read_json(finished, f"out/{MANIFEST}")["digest"]
    for attempts in (2, 3):
        manifest = retry(finished)
        assert manifest["errors"] == {"NullValue": 2, "ValueError": 4}
        assert errors_of(finished) == {("NullValue", attempts): 2, ("ValueError", attempts): 4}
    assert manifest["digest"] == digest
    for key, table in without_footer(finished, "out/").items():
        assert table.drop(["error"]).equals(before[key].drop(["error"]))
        assert table["error"].is_null().equals(before[key]["error"].is_null())


@pytest.mark.parametrize(
    ("model", "kind"),
    [("RaisingEncoder", "KeyError"), ("PoisonModel", "ValueError"), ("RaisingDecoder", "LookupError")],
)
@pytest.mark.parametrize("bad", [2, 20])
def test_rows_that_raise_again_in_whatever_step_stay_error_rows(
    folder: Folder, model: str, kind: str, bad: int
) -> None:
    """Nothing else is run again, so that every row of the retry raises."""
    put_table(folder, "in/a.parquet", pa.table({"text": ["a", "b", *(THIRTEEN + " " * row for row in range(bad))]}))
    assert run(folder, model)["errors"] == {kind: bad}
    assert retry(folder, f"{MODELS}:{model}")["errors"] == {kind: bad}
    assert errors_of(folder) == {(kind, 2): bad}


def test_one_class_is_run_again_and_others_are_left(finished: Place, mended: None) -> None:
    assert retry(finished, classes=["NullValue"])["errors"] == {"NullValue": 2, "ValueError": 4}
    assert errors_of(finished) == {("NullValue", 2): 2, ("ValueError", 1): 4}
    assert retry(finished, classes=["ValueError"])["errors"] == {"NullValue": 2}
    before = finished.etags()
    assert retry(finished, classes=["ValueError"])["retried"]["rows"] == 0
    assert finished.etags() == before


def test_vectors_are_put_into_their_place(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put_input(folder)
    run(folder, "MendableVectors", keep=["id"])
    monkeypatch.setenv("MENDED", "yes")
    retry(folder, f"{MODELS}:MendableVectors")
    run(folder, "MendableVectors", keep=["id"], output="whole/")
    whole = without_footer(folder, "whole/")
    for key, table in without_footer(folder, "out/").items():
        assert table.drop(["error"]).equals(whole[key].drop(["error"]))


@pytest.mark.parametrize("label", ["truth", "p"])
def test_quality_counts_the_rows_that_are_answered_now(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    """Also where the label was not kept, or is the name of a folder."""
    put_input(folder)
    run(folder, label=label, keep=["id"])
    monkeypatch.setenv("MENDED", "yes")
    assert retry(folder)["quality"] == run(folder, label=label, keep=["id"], output="whole/")["quality"]


def test_of_the_input_only_row_groups_with_error_rows_are_read(
    s3_place: Bucket, proxy: FaultProxy, mended: None
) -> None:
    # 400 KB a row group that zstd cannot make smaller; the two bad ones are more than the largest gap apart.
    words = [None if row in (0, 49) else random.Random(row).randbytes(40_000).hex() for row in range(50)]
    put_table(s3_place, "in/b.parquet", pa.table({"text": ["good"]}))
    put_table(s3_place, "in/a.parquet", pa.table({"text": words}), row_group_size=5)
    assert run(s3_place)["shards"] == 1
    assert retry(s3_place, endpoint_url=proxy.url)["retried"]["rows"] == 2
    assert not proxy.requests("GET", "/in/b.parquet")
    ranges = [
        seen.headers["range"].removeprefix("bytes=").split("-") for seen in proxy.requests("GET", "/in/a.parquet")
    ]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) < 1_000_000
    assert len(s3_place.get("in/a.parquet")) > 2_000_000


def test_the_footer_tells_of_the_part_as_it_is(finished: Place, mended: None) -> None:
    retry(finished)
    for key, table in read_parts(finished).items():
        footer = pq.read_metadata(pa.BufferReader(finished.get(key)))
        account = json.loads(footer.metadata[b"tandem"])
        errors = Counter(error["class"] for error in table["error"].to_pylist() if error)
        assert (account["rows"], account["errors"]) == (table.num_rows, errors)
        assert account["shard"] in key
        assert account.get("retries", 0) == (0 if "/p=2/" in key else 1)


def test_the_command_says_what_came_of_it(finished_s3: Bucket) -> None:
    end = tandem("retry", f"{finished_s3.url}out/", *OWN, MENDED="yes")
    assert end.code == 0, end.err
    assert "80 rows in 2 parts, 2 error rows" in end.out
    assert "this run: 6 rows" in end.out
    again = tandem("retry", f"{finished_s3.url}nowhere/", *OWN)
    assert_refused(again, 2, "no job has begun here")
