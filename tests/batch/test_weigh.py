"""Weighing: a job too short for its fastest variant keeps the reference, and starts without the variant."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import batch.prepare
from batch.commit import JobRecord
from batch.prepare import prepare_job
from batch.run import run_job
from batch.spec import make_job
from batch.storage import Store
from models.host import recall, remember
from models.load import describe_model
from tests.batch.command import tandem
from tests.batch.places import Folder, put_table, read_json
from tests.models.made_variants import made, rows_of


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


@pytest.fixture
def model() -> Path:
    """A model whose variant was a hundred times as fast as the reference here, and is loaded in no time."""
    model = made("vowels-bilstm", "openvino", "fp32")
    know(model, speed=100.0, loading=1e-6)
    return model


def know(model: Path, *, speed: float, loading: float) -> None:
    digest = describe_model(str(model)).variants["openvino-fp32"].digest
    remember("speed", digest, speed)
    remember("loading", digest, loading)


def fill(place: Folder, rows: int) -> None:
    sequences = rows_of("vowels-bilstm", 30)
    put_table(place, "in/a.parquet", pa.table({"sequence": [sequences[i % 30] for i in range(rows)]}))


def settings(place: Folder, model: Path, **more: object) -> dict[str, object]:
    return {"model": str(model), "input": place.url + "in/", "output": place.url + "out/", "threads": 1, **more}


def test_a_short_job_keeps_the_reference_and_compares_nothing(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    manifest = run_job(settings(folder, model))
    assert manifest["model"]["variant"] == "onnx-fp32"
    assert manifest["parity"] == {"skipped": "onnx-fp32 is the reference"}
    assert read_json(folder, "out/_tandem/job.json")["model"]["variant"] == "onnx-fp32"


def test_a_longer_one_takes_the_variant_and_remembers_what_loading_it_took(folder: Folder, model: Path) -> None:
    fill(folder, 3000)
    manifest = run_job(settings(folder, model))
    assert manifest["model"]["variant"] == "openvino-fp32"
    assert manifest["parity"]["rows"] == 64
    loading = recall("loading", describe_model(str(model)).variants["openvino-fp32"].digest)
    assert 1e-6 < loading < 60


@pytest.mark.parametrize(
    ("speed", "loading", "variant"),
    [(100.0, 1e-6, "openvino-fp32"), (100.0, 900.0, "onnx-fp32"), (1.06, 0.9, "onnx-fp32")],
)
def test_loading_and_speed_are_weighed(folder: Folder, model: Path, speed: float, loading: float, variant: str) -> None:
    fill(folder, 3000)
    know(model, speed=speed, loading=loading)
    prepared = prepare_job(make_job(settings(folder, model)), dry=True)
    assert prepared.record.model["variant"] == variant
    assert (prepared.weighed is not None) == (variant == "onnx-fp32")


def test_what_is_named_is_not_weighed(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    assert run_job(settings(folder, model, runtime="openvino"))["model"]["variant"] == "openvino-fp32"


def test_a_job_that_grows_stays_with_the_reference(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    run_job(settings(folder, model))
    sequences = rows_of("vowels-bilstm", 30)
    put_table(folder, "in/b.parquet", pa.table({"sequence": [sequences[i % 30] for i in range(3000)]}))
    manifest = run_job(settings(folder, model))
    assert (manifest["rows"], manifest["model"]["variant"]) == (3020, "onnx-fp32")


def test_of_two_runs_that_settle_otherwise_at_the_same_time_the_first_counts(
    folder: Folder, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 20)
    agree, calls = batch.prepare.agree_on_job, []

    def late(store: Store, record: JobRecord, *, attempt: str) -> None:
        calls.append(record.model["variant"])
        if len(calls) == 1:
            run_job(settings(folder, model, runtime="openvino"))
        agree(store, record, attempt=attempt)

    monkeypatch.setattr(batch.prepare, "agree_on_job", late)
    manifest = run_job(settings(folder, model))
    assert calls == ["onnx-fp32", "openvino-fp32"]
    assert (manifest["model"]["variant"], manifest["run"]["rows"]) == ("openvino-fp32", 0)


def test_the_command_says_why(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    words = ("run", "--model", str(model), "--input", folder.url + "in/", "--output", folder.url + "out/")
    end = tandem(*words)
    assert end.code == 0
    assert "short job variant=onnx-fp32" in end.err
    assert "other=openvino-fp32" in end.err
