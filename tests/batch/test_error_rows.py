"""`tandem errors`: error rows by class, with examples and where each is from, without reading what holds none."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.retry.group_errors import group_errors
from batch.run import run_job
from tests.batch.command import Command
from tests.batch.places import Bucket, Folder, Place, part_keys, put_table
from tests.fault_proxy import FaultProxy, Rule

POISON = "tests.batch.own_models:PoisonModel"
THIRTEEN = " ".join(["word"] * 13)


def put_words(place: Place, key: str, bad: dict[int, str | None], rows: int = 40) -> None:
    words = [bad.get(row, f"row {row}") for row in range(rows)]
    put_table(place, key, pa.table({"id": range(rows), "text": words}), row_group_size=10)


def run(place: Place, **settings: object) -> None:
    run_job({"model": POISON, "input": f"{place.url}in/", "output": f"{place.url}out/", **settings})


@pytest.fixture
def faulty(place: Place) -> Place:
    """Three parts: one with two rows that raise and a null, one with four nulls, one with no error row."""
    put_words(place, "in/p=0/a.parquet", {7: THIRTEEN, 20: None, 31: THIRTEEN})
    put_words(place, "in/p=1/a.parquet", {5: None, 6: None, 15: None, 39: None})
    put_words(place, "in/p=2/a.parquet", {})
    run(place)
    return place


def test_errors_are_counted_by_class_and_examples_say_where_they_are(faulty: Place) -> None:
    found = group_errors(f"{faulty.url}out/", limit=3)
    assert (found["rows"], found["error_rows"], found["shards"], found["shards_done"]) == (120, 7, 3, 3)
    assert [(group["class"], group["rows"]) for group in found["classes"]] == [("NullValue", 5), ("ValueError", 2)]
    nulls, raised = (group["examples"] for group in found["classes"])
    places = [(one["source"].removeprefix(faulty.url), one["row_group"], one["row"]) for one in raised]
    assert places == [("in/p=0/a.parquet", 0, 7), ("in/p=0/a.parquet", 3, 31)]
    assert {one["message"] for one in raised} == {"thirteen words are not to be counted"}
    assert {one["attempts"] for one in raised} == {1}
    assert {f"out/{one['part']}" for one in raised} == {key for key in part_keys(faulty) if "/p=0/" in key}
    places = [(one["source"].removeprefix(faulty.url), one["row_group"], one["row"]) for one in nulls]
    assert places == [("in/p=0/a.parquet", 2, 20), ("in/p=1/a.parquet", 0, 5), ("in/p=1/a.parquet", 0, 6)]


def test_row_numbers_and_groups_are_the_sources_own_also_behind_a_filter(folder: Folder) -> None:
    put_words(folder, "in/a.parquet", {7: THIRTEEN, 25: THIRTEEN})
    run(folder, where="id > 20", shard_mb=0.0001)
    (group,) = group_errors(f"{folder.url}out/")["classes"]
    assert [(one["row_group"], one["row"]) for one in group["examples"]] == [(2, 25)]


def test_parts_without_error_rows_and_those_that_are_not_needed_are_not_opened(
    s3_place: Bucket, proxy: FaultProxy
) -> None:
    put_words(s3_place, "in/p=0/a.parquet", {1: None, 2: None})
    put_words(s3_place, "in/p=1/a.parquet", {1: None})
    put_words(s3_place, "in/p=2/a.parquet", {})
    run(s3_place)
    found = group_errors(f"{s3_place.url}out/", limit=2, endpoint_url=proxy.url)
    assert found["error_rows"] == 3
    assert not proxy.requests("GET", "/p=2/")  # the manifest says that it holds none
    assert len(proxy.requests("GET", "/out/p=1/")) == 1  # its footer, for the classes
    assert not proxy.requests("PUT|POST|DELETE")


def test_row_groups_without_error_rows_are_not_read(s3_place: Bucket, proxy: FaultProxy) -> None:
    words = [f"{random.Random(row).randbytes(80).hex()} {row}" for row in range(59_999)]
    put_table(s3_place, "in/a.parquet", pa.table({"text": [*words, None]}))
    run(s3_place, keep=["text"])
    found = group_errors(f"{s3_place.url}out/", endpoint_url=proxy.url)
    assert [one["row"] for one in found["classes"][0]["examples"]] == [59_999]
    (key,) = part_keys(s3_place)
    read = proxy.requests("GET", key)
    footer = pq.read_metadata(pa.BufferReader(s3_place.get(key)))
    last = footer.row_group(footer.num_row_groups - 1)
    starts = [last.column(leaf).dictionary_page_offset or last.column(leaf).data_page_offset for leaf in range(7)]
    assert footer.num_row_groups > 2
    asked = [[int(end) for end in seen.headers["range"].removeprefix("bytes=").split("-")] for seen in read]
    assert min(first for first, _ in asked) >= min(starts)


def test_examples_show_messages_that_differ_first(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["same"] * 30 + ["other"] + ["same"] * 5}))
    run(folder, model="tests.batch.own_models:QuotingModel")
    (group,) = group_errors(f"{folder.url}out/", limit=2)["classes"]
    assert [one["row"] for one in group["examples"]] == [0, 30]
    (group,) = group_errors(f"{folder.url}out/", limit=3)["classes"]
    assert [one["row"] for one in group["examples"]] == [0, 1, 30]


def test_a_source_that_is_gone_leaves_the_row_named_without_its_row_group(faulty: Place) -> None:
    faulty.delete("in/p=0/a.parquet")
    found = group_errors(f"{faulty.url}out/", classes=["ValueError"])
    assert [(one["row_group"], one["row"]) for one in found["classes"][0]["examples"]] == [(None, 7), (None, 31)]


def test_errors_of_a_job_that_is_under_way_are_those_of_its_committed_parts(faulty: Place) -> None:
    faulty.delete("out/_SUCCESS")
    faulty.delete("out/_tandem/manifest.json")
    faulty.delete(next(key for key in part_keys(faulty) if "/p=1/" in key))
    found = group_errors(f"{faulty.url}out/")
    assert (found["rows"], found["shards_done"]) == (80, 2)
    assert {group["class"]: group["rows"] for group in found["classes"]} == {"ValueError": 2, "NullValue": 1}


def test_a_part_that_is_replaced_while_it_is_read_is_looked_at_again(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_words(s3_place, "in/a.parquet", {7: None})
    run(s3_place)
    proxy.add(Rule(fault="error", method="GET", path="/part-", status=412, code="PreconditionFailed"))
    assert group_errors(f"{s3_place.url}out/", endpoint_url=proxy.url)["error_rows"] == 1


def test_the_command_shows_it_for_people_and_for_programs(faulty: Place, command: Command) -> None:
    end = command("errors", f"{faulty.url}out/", "--limit", "1")
    assert end.code == 0, end.err
    lines = end.out.splitlines()
    assert lines[0] == "7 error rows among 120 rows"
    assert "  ValueError: 2 rows" in lines
    assert f"    {faulty.url}in/p=0/a.parquet row group 0 row 7" in lines
    assert "      thirteen words are not to be counted" in lines
    assert lines[-1].endswith(f"tandem retry {faulty.url}out/")
    assert json.loads(command("errors", f"{faulty.url}out/", "--json").out) == group_errors(f"{faulty.url}out/")
    only = command("errors", f"{faulty.url}out/", "--class", "ValueError", "--class", "Nope").out
    assert "ValueError: 2 rows" in only
    assert "Nope: no error rows" in only
    assert "NullValue" not in only


def test_a_message_cannot_move_the_cursor(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["\x1b[2J\x1b[31m" + THIRTEEN]}))
    run(folder, model="tests.batch.own_models:QuotingModel")
    shown = command("errors", f"{folder.url}out/").out
    assert "word word" in shown
    assert "\x1b" not in shown
    assert max(len(line) for line in shown.splitlines()) < 200
