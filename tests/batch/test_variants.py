"""A job's variant: resolved once, kept by every later run, and part of what the output is."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from batch.errors import FingerprintMismatch, UsageError
from batch.run import run_job
from batch.spec import make_job
from models.errors import MissingExtra, VariantMissing, VariantTooFar
from models.variants import hash_record, hash_variant
from tests.batch.command import tandem
from tests.batch.places import Folder, put_table, read_json
from tests.models.made_variants import copy_made, copy_model, made, rows_of


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    place = Folder(tmp_path / "place")
    put_table(place, "in/a.parquet", pa.table({"sequence": rows_of("vowels-bilstm", 30)}))
    return place


def settings(place: Folder, model: Path, **more: object) -> dict[str, object]:
    return {"model": str(model), "input": place.url + "in/", "output": place.url + "out/", "threads": 1, **more}


def test_a_named_variant_answers_and_a_run_that_names_none_goes_on_with_it(place: Folder) -> None:
    model = made("vowels-bilstm", "openvino", "fp32")
    first = run_job(settings(place, model, runtime="openvino"))
    assert first["model"]["variant"] == "openvino-fp32"
    assert first["error_rows"] == 0
    record = read_json(place, "out/_tandem/job.json")
    assert (record["model"]["runtime"], record["model"]["precision"]) == ("openvino", "fp32")
    assert run_job(settings(place, model))["run"]["rows"] == 0, "auto took what the output was begun with"
    with pytest.raises(FingerprintMismatch, match="openvino-fp32"):
        run_job(settings(place, model, runtime="onnx"))


def test_a_later_run_on_a_host_without_the_variant_says_so(place: Folder, tmp_path: Path) -> None:
    model = copy_made("vowels-bilstm", "openvino", "fp32", tmp_path)
    run_job(settings(place, model, runtime="openvino"))
    bare = copy_model("vowels-bilstm", tmp_path / "other")
    with pytest.raises(VariantMissing, match="has no variant openvino-fp32"):
        run_job(settings(place, bare))


def test_a_later_run_with_a_tolerance_that_the_variant_exceeds_says_so(place: Folder) -> None:
    model = made("vowels-bilstm", "openvino", "fp32")
    run_job(settings(place, model, runtime="openvino"))
    with pytest.raises(VariantTooFar, match=r"openvino-fp32 differ by up to .*, the tolerance is 1e-12"):
        run_job(settings(place, model, tolerance=1e-12))
    assert run_job(settings(place, model, tolerance=1.0))["run"]["rows"] == 0


def test_a_later_run_without_the_package_says_so(place: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    model = made("vowels-bilstm", "openvino", "fp32")
    run_job(settings(place, model, runtime="openvino"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    with pytest.raises(MissingExtra, match="--runtime openvino needs openvino"):
        run_job(settings(place, model))


def test_a_variant_that_was_made_anew_is_another_job(place: Folder, tmp_path: Path) -> None:
    model = copy_made("vowels-bilstm", "openvino", "fp32", tmp_path)
    run_job(settings(place, model, runtime="openvino"))
    variant = model / "variants/openvino-fp32"
    (variant / "NOTICE").write_text("made anew")
    record = json.loads((variant / "variant.json").read_text())
    files, digest = hash_variant(variant)
    record |= {"files": files, "digest": digest}
    (variant / "variant.json").write_text(json.dumps(record | {"record": hash_record(record)}))
    with pytest.raises(FingerprintMismatch, match="variant"):
        run_job(settings(place, model, runtime="openvino"))


@pytest.mark.parametrize("found", ["0", "-1", "nan", "many", "true", "int4"])
def test_a_tolerance_is_a_number_above_0_or_int8(found: str) -> None:
    with pytest.raises(UsageError, match=rf"tolerance: expected a number above 0 or int8, found '{found}'"):
        make_job({"model": "m", "input": "a", "output": "b", "tolerance": found})


@pytest.mark.parametrize(("said", "meant"), [("int8", "int8"), ("0.01", 0.01), (1, 1.0), (None, None)])
def test_a_tolerance_may_be_said_in_a_file_or_on_the_command_line(said: object, meant: object) -> None:
    assert make_job({"model": "m", "input": "a", "output": "b", "tolerance": said}).tolerance == meant


def test_the_command_names_what_makes_a_variant_that_is_not_there(place: Folder, tmp_path: Path) -> None:
    model = copy_model("vowels-bilstm", tmp_path)
    words = ("run", "--model", str(model), "--input", place.url + "in/", "--output", place.url + "out/")
    end = tandem(*words, "--runtime", "openvino", "--precision", "int8", "--no-compile")
    assert end.code == 3
    assert f"Make it with: tandem model optimize {model} --runtime openvino --precision int8" in end.complaint
    assert not (tmp_path / "place/out").exists()
