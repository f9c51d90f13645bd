"""What has to be true of an output, whatever was done to the runs that made it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batch.shard import Plan, Shard
from tests.batch.places import Bucket, part_keys, read_json, read_parts
from tests.chaos.job import answer, rows
from tests.fault_proxy import Seen


def assert_complete(place: Bucket, digest: str) -> None:
    """Every row once and with its answer, one part a shard, the manifest of an uninterrupted run, nothing left over."""
    found: Counter[tuple[str, int]] = Counter()
    expected = {(key, row): words for key, row, words in rows()}
    for table in read_parts(place).values():
        for line in table.select(["_source", "_row", "words", "label", "error"]).to_pylist():
            where = (line["_source"].removeprefix(f"{place.url}in/"), line["_row"])
            found[where] += 1
            kind = line["error"] and line["error"]["class"]
            assert (line["words"], line["label"], kind) == (expected.get(where), *answer(expected.get(where))), where
    lost, double = expected.keys() - found.keys(), [where for where, times in found.items() if times > 1]
    assert not lost, f"lost: {sorted(lost)}"
    assert not double, f"double: {sorted(double)}"
    assert found.keys() == expected.keys()
    parts, shards = part_keys(place), read_shards(place)
    assert sorted(key.rpartition("-")[2].partition(".")[0] for key in parts) == sorted(shard.id for shard in shards)
    manifest = read_json(place, "out/_tandem/manifest.json")
    assert manifest["digest"] == digest
    assert {f"out/{part['key']}" for part in manifest["parts"]} == set(parts)
    assert read_json(place, "out/_SUCCESS") == {"plans": 1}
    left = place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    assert left == [], f"uploads were left behind: {[upload['Key'] for upload in left]}"


def read_shards(place: Bucket) -> Sequence[Shard]:
    """The planned shards; none as long as there is no plan."""
    if "out/_tandem/plan-0.json" not in place.etags("out/_tandem/"):
        return ()
    return Plan.from_bytes(place.get("out/_tandem/plan-0.json")).shards


def finished_objects(place: Bucket) -> set[str]:
    """The input objects that no shard without a part reads."""
    done = {key.rpartition("-")[2].partition(".")[0] for key in part_keys(place)}
    shards = read_shards(place)
    unfinished = {piece.key for shard in shards if shard.id not in done for piece in shard.pieces}
    return {piece.key for shard in shards for piece in shard.pieces} - unfinished


def assert_unread(place: Bucket, objects: set[str], seen: Sequence[Seen]) -> None:
    """No GET went to any of these objects."""
    asked = {one.path.partition("?")[0].partition("/in/")[2] for one in seen if one.method == "GET"}
    assert not asked & objects, f"read again though finished: {sorted(asked & objects)}"


def shards_of_rows(place: Bucket) -> dict[int, str]:
    """Words -> the part that holds the row of so many words."""
    found: dict[int, str] = {}
    for key in part_keys(place):
        for words in pq.read_table(io.BytesIO(place.get(key)), columns=["words"], partitioning=None)["words"]:
            if (count := words.as_py()) is not None:
                found[count] = key
    return found


def computed_twice(place: Bucket, notes: Path) -> set[str]:
    """The parts whose rows went through the model in more than one process."""
    shards = shards_of_rows(place)
    by: dict[str, set[str]] = {}
    for line in notes.read_text().splitlines() if notes.exists() else []:
        process, *words = line.split()
        for count in words:
            by.setdefault(shards[int(count)], set()).add(process)
    return {key for key, processes in by.items() if len(processes) > 1}


def phase(seen: Sequence[Seen]) -> str:
    """How far the runs had come, by the last thing that one of them asked the store."""
    if not seen:
        return "start"
    last: Any = seen[-1]
    where = last.path.partition("?")[0]
    if "/in/" in where:
        return "read"
    if "/part-" in where:
        return {"PUT": "put", "HEAD": "look for a part"}.get(last.method, "manifest")
    if where.endswith(("/_SUCCESS", "manifest.json")) and last.method == "PUT":
        return "manifest"
    return "prepare"
