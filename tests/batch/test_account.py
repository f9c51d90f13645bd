"""What footers say adds up to what the rows say, whoever wrote the parts, and older footers count as far as they go."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.account.histogram import LENGTH_EDGES, SCORE_CLASSES, count_lengths, count_scores, length_above
from batch.account.tally import EXAMPLE_CLASSES, EXAMPLES, MOST_CHARACTERS, MOST_LABELS
from batch.commit import read_plans, read_record
from batch.report import build_manifest
from batch.run import run_job
from batch.stores.storage import open_store
from tests.batch.command import Command, assert_refused
from tests.batch.places import WORD_COUNT, Folder, Place, part_keys, put_table, read_output, read_parts, texts


def run(place: Place, **more: Any) -> dict[str, Any]:
    places = {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/"}
    return dict(run_job(places | more))


def fill(place: Place) -> None:
    for number in range(4):
        put_table(place, f"in/p={number}/a.parquet", texts(40 + number, first=100 * number), row_group_size=15)
    put_table(place, "in/p=8/a.parquet", pa.table({"id": [1, 2, 3], "text": ["a", None, None]}))


def test_labels_scores_and_errors_are_those_of_the_rows(place: Place) -> None:
    fill(place)
    manifest = run(place, window_rows=11)
    rows = read_output(place)
    assert manifest["labels"] == dict(Counter(rows["label"].drop_null().to_pylist()))
    scores = [min(int(score * SCORE_CLASSES), SCORE_CLASSES - 1) for score in rows["score"].drop_null().to_pylist()]
    assert manifest["scores"] == [scores.count(place) for place in range(SCORE_CLASSES)]
    assert sum(manifest["lengths"].values()) == manifest["rows"] - manifest["error_rows"]
    named = {(one["source"], one["row"]) for one in manifest["examples"]}
    assert named == {(f"{place.url}in/p=8/a.parquet", row) for row in (1, 2)}


def test_a_job_in_parts_and_one_in_a_single_part_count_alike(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(300), row_group_size=20)
    whole = run(folder)
    parts = run(folder, output=f"{folder.url}parts/", shard_mb=0.0001)
    assert len(parts["parts"]) > 5
    for key in ("rows", "errors", "labels", "scores", "lengths", "truncated"):
        assert parts[key] == whole[key], key
    assert parts["work"]["real"] + parts["work"]["repeated"] == whole["work"]["real"] + whole["work"]["repeated"] == 300


def test_parts_say_when_they_were_made_what_they_took_and_by_which_run(folder: Folder) -> None:
    fill(folder)
    before = datetime.now().astimezone()
    manifest = run(folder)
    put_table(folder, "in/p=9/a.parquet", texts(12))
    manifest = run(folder)
    after = datetime.now().astimezone()
    work = manifest["work"]
    assert (work["parts"], work["attempts"]) == (6, 2)
    times = [(datetime.fromisoformat(p["began"]), datetime.fromisoformat(p["ended"])) for p in manifest["parts"]]
    assert all(before.timestamp() - 1e-3 <= a.timestamp() <= b.timestamp() <= after.timestamp() for a, b in times)
    assert (work["began"], work["ended"]) == (
        min(p["began"] for p in manifest["parts"]),
        max(p["ended"] for p in manifest["parts"]),
    )
    assert work["spent_s"].keys() == {"read", "encode", "arithmetic", "decode", "write"}
    assert all(seconds >= 0 for seconds in work["spent_s"].values())
    assert work["micro_batches"] > 0


def test_footers_of_an_older_version_count_as_far_as_they_go(folder: Folder) -> None:
    fill(folder)
    manifest = run(folder)
    key = next(key for key in part_keys(folder) if "p=0" in key)
    table = read_parts(folder)[key]
    account = json.loads(pq.read_metadata(io.BytesIO(folder.get(key))).metadata[b"tandem"])
    kept = ("rows", "errors", "truncated", "confusion", "shard", "fingerprint", "model", "digest", "variant")
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"tandem": json.dumps({name: account[name] for name in kept})})
    folder.put(key, sink.getvalue())
    store = open_store(f"{folder.url}out/")
    record = read_record(store)
    assert record is not None
    again = build_manifest(store, record, read_plans(store), manifest["run"])
    assert again is not None
    assert (again["rows"], again["digest"]) == (manifest["rows"], manifest["digest"])
    assert sum(again["labels"].values()) == sum(manifest["labels"].values()) - 40
    assert again["work"]["parts"] == manifest["work"]["parts"] - 1
    assert sum("ended" in part for part in again["parts"]) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": None},
        {"rows": "many"},
        {"errors": {"NullValue": "<b>"}},
        {"confusion": [["a", "b"]]},
        {"work": {}},
        {"work": {"began": "yesterday"}},
        {"scores": [1, 2]},
        {"lengths": {"long": 1}},
        {"examples": [{"class": "NullValue"}]},
    ],
    ids=str,
)
def test_a_footer_that_says_what_none_of_ours_does_is_named(
    folder: Folder, command: Command, wrong: dict[str, Any], tmp_path: Path
) -> None:
    put_table(folder, "in/a.parquet", texts(5))
    run(folder)
    (key,) = part_keys(folder)
    table = read_parts(folder)[key]
    account = json.loads(pq.read_metadata(io.BytesIO(folder.get(key))).metadata[b"tandem"])
    work = account["work"] | wrong.get("work", {}) if wrong.get("work") else wrong.get("work", account["work"])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"tandem": json.dumps(account | wrong | {"work": work})})
    folder.put(key, sink.getvalue())
    folder.delete("out/_SUCCESS")
    output = f"{folder.url}out/"
    for words in (("status", output), ("report", output, "-o", str(tmp_path / "page.html"))):
        assert_refused(command(*words), 2, key.removeprefix("out/"), "is no part that this version reads")


def test_a_footer_stays_small_however_many_rows_go_wrong(folder: Folder) -> None:
    kinds = 3 * EXAMPLE_CLASSES
    words = [f"kind{i % kinds} " + "x" * 1000 for i in range(20 * kinds)]
    put_table(folder, "in/a.parquet", pa.table({"text": words}))
    manifest = run(folder, model="tests.batch.own_models:ManyFaults")
    (key,) = part_keys(folder)
    body = pq.read_metadata(io.BytesIO(folder.get(key))).metadata[b"tandem"]
    account = json.loads(body)
    assert manifest["errors"] == {f"kind{i}": 20 for i in range(kinds)}
    assert Counter(one["class"] for one in account["examples"]) == {
        f"kind{i}": EXAMPLES for i in range(EXAMPLE_CLASSES)
    }
    assert {len(one["message"]) for one in account["examples"]} == {MOST_CHARACTERS}
    assert len(body) < 25_000


def test_labels_without_end_are_counted_up_to_a_bound(folder: Folder) -> None:
    words = [f"label-{i}" for i in range(6 * MOST_LABELS)] + ["often"] * 50
    put_table(folder, "in/a.parquet", pa.table({"text": words}))
    manifest = run(folder, model="tests.batch.own_models:EchoModel", window_rows=500)
    assert len(manifest["labels"]) == MOST_LABELS
    assert manifest["labels"]["often"] == 50


@given(st.lists(st.integers(1, 2_000_000), max_size=50), st.lists(st.integers(1, 70), max_size=50))
def test_histograms_of_lengths_add_up_and_every_length_is_in_its_class(one: list[int], other: list[int]) -> None:
    both = count_lengths(np.array(one + other, np.int64))
    assert both == count_lengths(np.array(one, np.int64)) + count_lengths(np.array(other, np.int64))
    for length in one + other:
        (edge,) = count_lengths(np.array([length]))
        assert edge <= length < length_above(edge) <= max(1.34 * edge, edge + 1)


def test_lengths_up_to_five_stand_alone_and_endless_ones_are_in_the_last_class() -> None:
    assert LENGTH_EDGES[:5].tolist() == [1, 2, 3, 4, 5]
    assert count_lengths(np.array([0, 1, 10**12])) == {1: 2, int(LENGTH_EDGES[-1]): 1}


def test_scores_at_the_ends_outside_and_missing_have_their_place() -> None:
    found = count_scores(pa.array([0.0, 0.049, 0.05, 1.0, 1.5, -1.0, None, float("nan")], pa.float32()))
    assert (found[0], found[1], found[-1], found.sum()) == (3, 1, 2, 6)
    assert pytest.approx(count_scores(pa.array([], pa.float32())).sum()) == 0
