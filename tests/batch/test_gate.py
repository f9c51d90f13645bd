"""The gate: a job whose variant answers otherwise than its model stops before its first part, and says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.choose.gate import must_compare, read_parity, record_parity
from batch.errors import ReferenceMissing, UsageError
from batch.prepare import make_record
from batch.report import Manifest
from batch.run import run_job
from batch.spec import make_job
from batch.stores.storage import open_store
from models.artifact import record_digest
from models.errors import ParityBroken
from models.load import describe_model
from models.samples import TEXTS
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import Bucket, Folder, Place, part_keys, put_table, read_json
from tests.models import damage

PARITY = "out/_tandem/parity.json"
INT8 = ("--runtime", "onnx", "--precision", "int8", "--threads", "1")


class Told:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None: ...

    def advanced(self, rows: int) -> None: ...

    def told(self, event: str, **facts: object) -> None:
        self.events.append((event, facts))

    @property
    def compared(self) -> list[dict[str, object]]:
        return [facts for event, facts in self.events if event == "compared"]


def texts(count: int) -> pa.Table:
    """Short and long ones, with capitals and accents; every twentieth is null."""
    words = " ".join(TEXTS).split()
    rows = [" ".join(words[i % 7 : i % 7 + 2 + i]) * (1 + i % 3) if i % 20 else None for i in range(count)]
    return pa.table({"id": range(count), "text": rows})


def fill(place: Place) -> None:
    put_table(place, "in/a.parquet", texts(60), row_group_size=25)
    put_table(place, "in/b.parquet", texts(45))


def run(
    place: Place, model: Path | str, told: Told | None = None, *, replace: bool = False, **settings: Any
) -> Manifest:
    places = {"model": str(model), "input": place.url + "in/", "output": place.url + "out/", "threads": 1}
    chosen = {"runtime": "onnx", "precision": "int8"} | settings
    return run_job(places | chosen, replace=replace, progress=told or Told())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with an int8 variant that answers as well as int8 does."""
    folder = damage.copy_of("bbc-bert", tmp_path_factory.mktemp("model") / "bbc-bert")
    record_digest(folder)
    # 2 in 100 rows change their label or score: texts like these are not what the model was trained on.
    damage.make_int8(folder, tolerance=0.02)
    return folder


def test_a_job_compares_its_variant_once_and_says_so_in_its_manifest(place: Place, sound: Path) -> None:
    fill(place)
    told = Told()
    manifest = run(place, sound, told)
    found = manifest["parity"]
    assert (found["reference"], found["variant"], found["rows"]) == ("onnx-fp32", "onnx-int8", 64)
    assert found["rows_of"] == "input"
    assert (found["tolerance"], found["tolerance_of"]) == (0.02, "mean")
    assert found["agreement"]["largest"] > 0
    assert found["movement"] > 0, "int8 with scales of each call depends on its batch-mates"
    assert read_json(place, PARITY)["parity"] == found
    assert [facts["rows"] for facts in told.compared] == [64]
    before = place.etags()

    (lost,) = part_keys(place)
    for key in (lost, "out/_SUCCESS", "out/_tandem/manifest.json"):
        place.delete(key)
    again = Told()
    assert run(place, sound, again)["parity"] == found
    assert again.compared == [], "a resumed job compares nothing anew"
    assert place.etags()[PARITY] == before[PARITY]


def test_a_reference_that_does_not_fit_beside_the_model_is_refused_before_the_output_is_claimed(
    folder: Folder, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)
    monkeypatch.setattr("batch.bounds.LOADED_TIMES", 1e6)  # of files of a megabyte or two
    with pytest.raises(UsageError, match="too little to compare the variant with its reference"):
        run(folder, sound, memory="8GB")
    assert not folder.etags("out/_tandem/job")
    monkeypatch.undo()
    bounded: list[str] = []
    monkeypatch.setattr(
        "batch.choose.trial.bound_micro_batches", lambda model, most_bytes: bounded.append(model.variant)
    )
    assert run(folder, sound, memory="8GB")["parity"]["rows"] == 64
    assert bounded == ["onnx-fp32"], "nor does its arithmetic take what is not left"


def test_replace_compares_anew(folder: Folder, sound: Path) -> None:
    fill(folder)
    run(folder, sound)
    before = folder.etags()[PARITY]
    told = Told()
    run(folder, sound, told, replace=True)
    assert len(told.compared) == 1
    assert folder.etags()[PARITY] != before


def test_another_host_compares_for_itself_and_what_the_first_one_found_stays(
    folder: Folder, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder)
    found, before = run(folder, sound)["parity"], folder.etags()[PARITY]
    for key in (*part_keys(folder), "out/_SUCCESS", "out/_tandem/manifest.json"):
        folder.delete(key)
    monkeypatch.setattr("batch.choose.gate.host_fingerprint", lambda: "another host")
    told = Told()
    assert run(folder, sound, told)["parity"] == found
    assert [facts["rows"] for facts in told.compared] == [64]
    assert folder.etags()[PARITY] == before


def test_the_reference_is_compared_where_it_runs_on_another_device_than_the_cpu(folder: Folder, sound: Path) -> None:
    job = make_job({"model": str(sound), "input": folder.url + "in/", "output": folder.url + "out/"})
    job = job.model_copy(update={"runtime": "onnx", "precision": "fp32"})
    record, store = make_record(job, describe_model(str(sound))), open_store(folder.url + "out/")
    assert not must_compare(store, record, device="cpu")
    assert must_compare(store, record, device="cuda")
    assert must_compare(store, record, device="tensorrt")
    record_parity(store, record, {"rows": 64}, device="cuda", attempt="1")
    assert not must_compare(store, record, device="cuda")
    assert must_compare(store, record, device="tensorrt")
    assert read_parity(store, record) == {"rows": 64}, "the manifest says that it was compared"


def lower_case(folder: Path) -> None:
    damage.edit_json(folder / "tokenizer.json", lambda content: content["normalizer"].update(lowercase=False))


def swap_words(folder: Path) -> None:
    def swap(content: Any) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["match"], vocabulary["the"] = vocabulary["the"], vocabulary["match"]

    damage.edit_json(folder / "tokenizer.json", swap)


FAULTS: list[tuple[Callable[[Path], Any], str, str]] = [
    (lambda folder: damage.edit_spec(folder, max_length=40), "encoding (maximal length)", "512 and 40"),
    (lower_case, "encoding (lower-casing)", "the reference lower-cases it"),
    (swap_words, "encoding (tokenizer)", "another revision of it"),
    (lambda folder: damage.spoil_scale(folder, factor=0.25), "arithmetic (int8 scale)", "the tolerance is 0.01"),
]


@pytest.mark.parametrize(("change", "stage", "said"), FAULTS)
def test_a_variant_that_answers_otherwise_stops_the_job_before_its_output_is_claimed(
    change: Callable[[Path], Any], stage: str, said: str, folder: Folder, tmp_path: Path, command: Command
) -> None:
    model = damage.copy_of("bbc-bert", tmp_path / "bbc-bert")
    record_digest(model)
    damage.make_int8(model, change)
    fill(folder)
    end = command(*job(folder, *INT8, model=str(model)))
    assert_refused(
        end, 3, "onnx-int8 does not answer as the reference onnx-fp32 does", stage, said, "in/", ".parquet row "
    )
    assert "out/_tandem/job.json" not in folder.etags(), "the output is claimed, though nothing can be done with it"
    assert part_keys(folder) == []
    end = command(*job(folder, "--runtime", "onnx", "--precision", "fp32", model=str(model)))
    assert end.code == 0, end.err


def test_a_wrong_resize_stops_the_job(folder: Folder, tmp_path: Path) -> None:
    model = damage.copy_of("fashion-resnet", tmp_path / "fashion-resnet")
    record_digest(model)
    damage.make_int8(model, lambda variant: damage.edit_spec(variant, preprocess={"resize": [32, 32]}))
    put_table(folder, "in/a.parquet", pq.read_table(damage.ZOO / "data" / "fashion.parquet").slice(0, 80))
    with pytest.raises(ParityBroken, match=r"image size.*28 x 28 pixels in the reference and 32 x 32") as error:
        run(folder, model)
    assert error.value.where.startswith(f"{folder.url}in/a.parquet row ")


def test_the_jobs_own_tolerance_is_a_largest_difference(folder: Folder, sound: Path) -> None:
    fill(folder)
    with pytest.raises(ParityBroken, match=r"differs by 0\.\d+, the tolerance is 0\.002"):
        run(folder, sound, tolerance=0.002)


def test_the_reference_itself_and_an_own_class_are_not_compared(folder: Folder, sound: Path) -> None:
    fill(folder)
    told = Told()
    manifest = run(folder, sound, told, runtime="onnx", precision="fp32")
    assert manifest["parity"] == {"skipped": "onnx-fp32 is the reference"}
    manifest = run(folder, "tests.batch.own_models:WordCount", told, replace=True, runtime="auto", precision="auto")
    assert "no reference to compare with" in manifest["parity"]["skipped"]
    assert told.compared == []
    assert PARITY not in folder.etags()


def test_a_host_that_cannot_run_the_reference_says_so(folder: Folder, tmp_path: Path) -> None:
    model = damage.copy_of("bbc-bert", tmp_path / "bbc-bert")
    (model / "model.onnx").write_bytes(b"no graph")
    record_digest(model)
    fill(folder)
    with pytest.raises(ReferenceMissing, match="torch-fp32 cannot be compared with the reference onnx-fp32") as error:
        run(folder, model, runtime="torch", precision="fp32")
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    assert "out/_tandem/job.json" not in folder.etags()


def test_samples_stand_in_where_the_filter_lets_no_row_in(folder: Folder, sound: Path) -> None:
    fill(folder)
    manifest = run(folder, sound, where="id > 9000")
    assert manifest["rows"] == 0
    assert manifest["parity"]["rows_of"] == "samples that come along"
    assert manifest["parity"]["rows"] > 5


def test_a_variant_is_compared_by_whoever_resumes_where_nobody_had_come_to_it(s3_place: Bucket, sound: Path) -> None:
    fill(s3_place)
    run(s3_place, sound)
    for key in (PARITY, "out/_SUCCESS", "out/_tandem/manifest.json"):
        s3_place.delete(key)
    told = Told()
    assert run(s3_place, sound, told)["parity"]["rows"] == 64
    assert len(told.compared) == 1
    assert json.loads(s3_place.get(PARITY))["parity"]["variant"] == "onnx-int8"


def test_a_variants_files_are_verified_before_they_are_compared(folder: Folder, sound: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(sound, model)
    damage.spoil_scale(model / "variants" / "onnx-int8", factor=0.25)
    fill(folder)
    with pytest.raises(Exception, match=r"model\.onnx has sha256 .*tandem model optimize"):
        run(folder, model)
