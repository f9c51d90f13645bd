"""The same answer: a job, the endpoint and the original in torch agree, row for row, within the spec's tolerance."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.run import run_job
from models.load import load_model
from models.zoo.datasets import bbc_news
from tests.service.client import predict_together
from tests.service.server import Server, serving

ROWS = 64
DATA = Path(__file__).parents[1] / "models/zoo/data"


def values_of(model: str) -> list[Any]:
    """Real rows, long and short, some of them twice."""
    if model == "fashion-resnet":
        rows = pq.read_table(DATA / "fashion.parquet").column("image")
    elif model == "vowels-bilstm":
        rows = pq.read_table(DATA / "vowels.parquet").column("steps")
    else:
        texts = bbc_news("test").column("text").to_pylist()
        rows = pa.array([text[: 40 + 97 * number] for number, text in enumerate(texts)])
    found: list[Any] = rows.slice(0, ROWS).to_pylist()
    return [*found, *found[:3]]


CASES = ["bbc-bert", "language-bigru", "fashion-resnet", "vowels-bilstm"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("home"), {"TANDEM_MODELS": ",".join(CASES)}) as found:
        yield found


def scores(predictions: list[dict[str, Any]]) -> list[dict[str, float]]:
    assert all(prediction["error"] is None for prediction in predictions)
    return [dict(prediction["scores"]) for prediction in predictions]


def difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> float:
    """The largest between the scores of two answers, row for row and label for label."""
    assert len(one) == len(other)
    assert all(left.keys() == right.keys() for left, right in zip(one, other, strict=True))
    return max(abs(left[label] - right[label]) for left, right in zip(one, other, strict=True) for label in left)


@pytest.mark.parametrize("name", CASES)
def test_a_job_the_endpoint_and_torch_give_the_same_answers(name: str, server: Server, tmp_path: Path) -> None:
    values = values_of(name)
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"body": pa.array(values)}), tmp_path / "in/rows.parquet", row_group_size=20)
    original = load_model(name, runtime="torch")
    takes = original.spec.column

    job = {"model": name, "input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "column": {takes: "body"}}
    manifest = run_job({**job, "top_k": len(original.spec.labels)})
    part = pq.read_table(tmp_path / "out" / manifest["parts"][0]["key"]).to_pylist()
    batch = scores(part)
    rows = [{takes: base64.b64encode(value).decode() if isinstance(value, bytes) else value} for value in values]
    replies = asyncio.run(predict_together(server.port, name, rows, clients=16))
    online = [dict(reply.predictions[0]["scores"]) for reply in replies]
    torch = scores(original.predict(values))

    tolerance = original.spec.tolerance
    assert [row["_row"] for row in part] == list(range(len(values)))
    assert difference(batch, online) <= tolerance
    # Torch sums in another order: no difference at all would mean that one runtime was asked twice.
    assert 0 < difference(batch, torch) <= tolerance
    assert manifest["model"]["digest"] == replies[0].content["digest"] == original.digest
    assert batch[0] == batch[ROWS], "equal rows have equal answers"
    assert difference(batch[:1], batch[1:2]) > tolerance, "different rows do not"
