"""A job over images that are objects: read by URI as if their bytes stood in the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.run import run_job
from tests.batch.conftest import ZOO
from tests.batch.places import Bucket, put_table, read_output

IMAGES = 12
MISSING = (3, 8)
NULL = 5


@pytest.fixture
def pictures() -> list[bytes]:
    found: list[bytes] = pq.read_table(ZOO / "data" / "fashion.parquet")["image"].slice(0, IMAGES).to_pylist()
    return found


def answers(place: Bucket, name: str, images: list[Any], kind: pa.DataType) -> list[dict[str, Any]]:
    """Run the zoo's classifier over a column `image`, and return the output's rows in order."""
    put_table(place, f"{name}/in/a.parquet", pa.table({"id": range(len(images)), "image": pa.array(images, kind)}))
    job = {"model": "fashion-resnet", "input": f"{place.url}{name}/in/", "output": f"{place.url}{name}/out/"}
    run_job(job | {"keep": ["id"]})
    rows: list[dict[str, Any]] = read_output(place, f"{name}/out/").to_pylist()
    return rows


def test_objects_named_by_uri_are_answered_as_their_bytes(
    s3_place: Bucket, pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    uris: list[str | None] = []
    for i, picture in enumerate(pictures):
        if i not in MISSING:
            s3_place.put(f"pictures/{i}.png", picture)
        uris.append(None if i == NULL else f"{s3_place.url}pictures/{i}.png")
    found = answers(s3_place, "uris", uris, pa.string())
    expected = answers(s3_place, "bytes", list(pictures), pa.binary())
    assert [row["id"] for row in found] == list(range(IMAGES))
    assert all(row["error"] is None for row in expected)
    faults = {row["id"]: row["error"]["class"] for row in found if row["error"]}
    assert faults == dict.fromkeys(MISSING, "UnreadableUri") | {NULL: "NullValue"}
    for row, other in zip(found, expected, strict=True):
        if row["id"] in faults:
            assert row["label"] is None
            assert row["score"] is None
            continue
        assert row["label"] == other["label"]
        assert dict(row["scores"]) == pytest.approx(dict(other["scores"]), abs=1e-5)
    for i in MISSING:
        assert f"{s3_place.url}pictures/{i}.png" in found[i]["error"]["message"]
