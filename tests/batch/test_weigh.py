"""Weighing: a job too short for its fastest variant keeps the reference, and starts without the variant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import batch.prepare
from batch.choose.draw import Drawn
from batch.choose.settle import name_variant
from batch.choose.trial import Trial
from batch.choose.weigh import MATES, is_open, row_seconds, weigh_variant
from batch.commit import JobRecord
from batch.prepare import prepare_job
from batch.run import run_job
from batch.spec import make_job
from batch.stores.storage import Store
from models.costs import Costs
from models.errors import RuntimeUnavailable
from models.host import recall, remember
from models.load import Described, describe_model, load_model
from models.variants import Variant
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


def chosen(place: Folder, model: Path, **more: object) -> str:
    """The variant that a run would take."""
    return str(prepare_job(make_job(settings(place, model, **more)), dry=True).record.model["variant"])


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


def test_a_longer_one_takes_the_variant(folder: Folder, model: Path) -> None:
    fill(folder, 3000)
    manifest = run_job(settings(folder, model))
    assert manifest["model"]["variant"] == "openvino-fp32"
    assert manifest["parity"]["rows"] == 64


def test_the_least_that_loading_took_here_is_remembered(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    digest = describe_model(str(model)).variants["openvino-fp32"].digest
    know(model, speed=100.0, loading=50.0)
    run_job(settings(folder, model, runtime="openvino"))
    assert 0 < recall("loading", digest) < 50
    know(model, speed=100.0, loading=1e-9)
    run_job(settings(folder, model, runtime="openvino"), replace=True)
    assert recall("loading", digest) == pytest.approx(1e-9, abs=1e-3)


@pytest.mark.parametrize(
    ("speed", "loading", "variant"),
    [(100.0, 1e-6, "openvino-fp32"), (100.0, 900.0, "onnx-fp32"), (1.06, 0.9, "onnx-fp32")],
)
def test_loading_and_speed_are_weighed(folder: Folder, model: Path, speed: float, loading: float, variant: str) -> None:
    fill(folder, 3000)
    know(model, speed=speed, loading=loading)
    prepared = prepare_job(make_job(settings(folder, model)), dry=True)
    assert prepared.record.model["variant"] == variant
    assert (prepared.kept is not None) == (variant == "onnx-fp32")


@pytest.mark.parametrize("named", [{"runtime": "openvino"}, {"precision": "fp32"}])
def test_what_is_named_is_not_weighed(folder: Folder, model: Path, named: dict[str, str]) -> None:
    fill(folder, 20)
    assert chosen(folder, model, **named) == "openvino-fp32"


def test_a_job_whose_rows_are_yet_to_come_takes_the_fastest(folder: Folder, model: Path) -> None:
    put_table(folder, "in/a.parquet", pa.table({"sequence": rows_of("vowels-bilstm", 30)}).slice(0, 0))
    assert chosen(folder, model) == "openvino-fp32"


def test_the_rows_that_a_limit_lets_in_are_weighed(folder: Folder, model: Path) -> None:
    fill(folder, 3000)
    assert chosen(folder, model, limit=20) == "onnx-fp32"


def test_a_filter_that_nothing_was_drawn_through_leaves_the_fastest(folder: Folder, model: Path) -> None:
    sequences = rows_of("vowels-bilstm", 30)
    for day in range(40):
        table = pa.table({"sequence": [sequences[i % 30] for i in range(90)], "day": [day] * 90})
        put_table(folder, f"in/{day:02}.parquet", table)
    assert chosen(folder, model, where="day = 38") == "openvino-fp32"


def test_nothing_is_weighed_where_the_reference_was_never_timed(
    folder: Folder, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 20)
    monkeypatch.setattr("models.load.load_costs", lambda folder, key: Costs())
    assert chosen(folder, model) == "openvino-fp32"


def test_nothing_is_weighed_on_a_gpu_where_only_another_runtime_has_one(
    folder: Folder, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 20)

    def device(described: Described, variant: Variant, device: str) -> str:
        if variant.reference:
            raise RuntimeUnavailable("onnx", why="no CUDA here", available=[])
        return "cuda"

    monkeypatch.setattr("batch.choose.weigh.device_of", device)
    described = describe_model(str(model))
    asked = make_job(settings(folder, model, device="cuda"))
    assert not is_open(asked, name_variant(asked, described, described.variants["torch-fp32"]), described)


def test_a_job_that_is_to_be_compiled_is_not_weighed(folder: Folder, model: Path) -> None:
    described = describe_model(str(model))
    asked = make_job(settings(folder, model, compile=True))
    job = name_variant(asked, described, described.variants["torch-fp32"])
    assert not is_open(asked, job, described)
    plain = {"compile": False}
    assert is_open(asked.model_copy(update=plain), job.model_copy(update=plain), described)


def test_under_a_bound_of_memory_nothing_is_weighed(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    assert chosen(folder, model, memory="2GB") == "openvino-fp32"


def test_more_threads_than_cores_make_no_job_shorter(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    reference = load_model(str(model), runtime="onnx", threads=1)
    encoded = reference.encode(rows_of("vowels-bilstm", 12))
    reference.streams = 2
    expected = row_seconds(reference, encoded)
    reference.streams = 64
    assert row_seconds(reference, encoded) == pytest.approx(expected)


def test_replace_stays_with_the_variant_so_that_what_is_still_true_stays(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    run_job(settings(folder, model, shard_mb=0.001))
    sequences = rows_of("vowels-bilstm", 30)
    put_table(folder, "in/b.parquet", pa.table({"sequence": [sequences[i % 30] for i in range(3000)]}))
    run_job(settings(folder, model, shard_mb=0.001))
    fill(folder, 21)
    manifest = run_job(settings(folder, model, shard_mb=0.001), replace=True)
    assert (manifest["model"]["variant"], manifest["rows"], manifest["run"]["rows"]) == ("onnx-fp32", 3021, 21)


def test_a_row_costs_its_share_of_what_its_micro_batches_take_over_the_streams(model: Path) -> None:
    reference = load_model(str(model), runtime="onnx", threads=1)
    reference.costs = Costs((0.0, 0.0, 1.0, 0.0))
    encoded = reference.encode(rows_of("vowels-bilstm", 12))
    lengths = encoded.lengths
    assert row_seconds(reference, encoded).sum() >= lengths.sum()
    reference.max_rows = 1
    assert row_seconds(reference, encoded) == pytest.approx(lengths)
    reference.streams = 2
    assert row_seconds(reference, encoded) == pytest.approx(lengths / 2)


def test_rows_are_weighed_by_all_that_were_looked_at_and_not_by_the_short_ones_that_were_drawn(model: Path) -> None:
    reference = load_model(str(model), runtime="onnx", threads=1)
    reference.costs, reference.max_rows = Costs((0.0, 0.0, 1.0, 0.0)), 1
    rows = sorted(rows_of("vowels-bilstm", 30), key=len)
    drawn = pa.record_batch({"sequence": pa.array([rows[0], rows[-1]])})
    sizes = np.asarray([len(rows[0]), len(rows[-1])])
    looked_at = np.asarray([len(rows[-1])] * 99 + [len(rows[0])])
    trial = Trial(reference=reference, drawn=Drawn(rows=drawn, sizes=sizes, looked_at=looked_at))
    variant = describe_model(str(model)).variants["openvino-fp32"]
    weighed = weigh_variant(trial, variant, rows=1000)
    assert weighed is not None
    assert weighed.reference_s == pytest.approx(1000 * looked_at.mean())
    assert weighed.variant_s == pytest.approx(
        1e-6 + sizes.sum() * (1 + (1 + MATES) / 100) + 1000 * looked_at.mean() / 100
    )


def test_images_are_weighed_without_being_unpacked() -> None:
    """Each is one piece, whatever it shows: what cannot even be unpacked weighs as much as any."""
    reference = load_model("fashion-resnet", runtime="onnx", threads=1)
    reference.costs, reference.max_rows = Costs((0.0, 1.0, 0.0, 0.0)), 1
    rows = pa.record_batch({"image": pa.array([b"no image"] * 8)})
    sizes = np.full(8, 8)
    trial = Trial(reference=reference, drawn=Drawn(rows=rows, sizes=sizes, looked_at=sizes))
    variant = describe_model("fashion-resnet").variants["torch-fp32"]
    remember("speed", variant.digest, 2.0)
    weighed = weigh_variant(trial, variant, rows=1000)
    assert weighed is not None
    assert weighed.reference_s == pytest.approx(1000 / reference.streams)


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
    assert "short job kept=onnx-fp32 seconds=0.0 instead_of=openvino-fp32 seconds_with_start=0.0" in end.err


def test_a_plan_says_why(folder: Folder, model: Path) -> None:
    fill(folder, 20)
    words = ("--model", str(model), "--input", folder.url + "in/", "--output", folder.url + "out/")
    said = tandem("plan", *words).out
    assert "(onnx-fp32)" in said
    assert "the job is short: about 0.0 s, with openvino-fp32, its start and the comparison included, 0.0 s" in said
    assert "the job is short" not in tandem("plan", *words, "--runtime", "openvino").out
