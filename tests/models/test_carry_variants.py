"""Variants go where their model goes, whole or not at all, and go when it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from models.carry_variants import copy_variants
from models.errors import DigestMismatch, SpecInvalid
from models.load import describe_model, load_model
from models.locate import locate_model
from models.optimize import optimize_model
from models.store import push_model, remove_model, save_model, verify_model
from tests.models.made_variants import copy_made, copy_model, made, optimize, rows_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "openvino-fp32"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store and caches of the test's own."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))
    return tmp_path / "bentoml"


def test_the_store_keeps_a_models_variants_and_removes_them_with_it() -> None:
    tag = save_model(made("vowels-bilstm", "openvino", "fp32"), "vowels")
    place = locate_model(tag).folder
    assert (place / "variants" / NAME / "model.bin").is_file()
    rows = rows_of("vowels-bilstm", 4)
    assert load_model("vowels", runtime="openvino", threads=1).predict(rows)[0]["error"] is None
    assert verify_model(tag)
    remove_model(tag)
    assert not place.exists()


def test_a_variant_made_later_comes_into_a_store_that_has_the_model(tmp_path: Path) -> None:
    tag = save_model(copy_model("vowels-bilstm", tmp_path), "vowels")
    assert NAME not in describe_model(tag).variants
    assert save_model(made("vowels-bilstm", "openvino", "fp32"), "vowels") == tag
    assert NAME in describe_model(tag).variants


def test_a_model_of_the_store_is_optimized_where_it_lies(tmp_path: Path) -> None:
    tag = save_model(copy_model("vowels-bilstm", tmp_path), "vowels")
    rows = rows_of("vowels-bilstm", 20)
    optimize_model(
        "vowels", runtime="openvino", precision="fp32", calibration=rows[:8], held_out=rows[8:], rows_from="here"
    )
    assert NAME in describe_model(tag).variants


def test_a_pushed_model_brings_its_variants_and_a_later_push_replaces_them(
    bucket: str, tmp_path: Path, s3_client: S3Client
) -> None:
    folder = copy_made("vowels-bilstm", "openvino", "fp32", tmp_path)
    url = push_model(str(folder), f"s3://{bucket}/vowels")
    first = describe_model(url)
    assert first.digest == describe_model(str(folder)).digest
    assert load_model(first, runtime="openvino", threads=1).variant == NAME
    optimize(folder, "openvino", "fp32")
    changed = json.loads((folder / "variants" / NAME / "variant.json").read_text())["digest"]
    push_model(str(folder), url)
    assert describe_model(url).variants[NAME].digest == changed


def test_of_two_that_bring_one_variant_at_once_both_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = made("vowels-bilstm", "openvino", "fp32"), copy_model("vowels-bilstm", tmp_path)
    rename = Path.rename
    moved: list[object] = []

    def rename_late(path: Path, to: Path) -> Path:
        """As it is, except that somebody else's whole variant comes in just before."""
        if not moved:
            moved.append(path)
            copy_variants(source, target)
            moved.append((target / "variants" / NAME).stat().st_ino)
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", rename_late)
    copy_variants(source, target)
    assert (target / "variants" / NAME).stat().st_ino == moved[1], "the one that was there already has been replaced"
    assert sorted(path.name for path in (target / "variants").iterdir()) == ["onnx-fp32", NAME]
    assert load_model(str(target), runtime="openvino", threads=1).variant == NAME


def test_costs_of_the_reference_travel_with_its_model(bucket: str, tmp_path: Path) -> None:
    folder = copy_model("vowels-bilstm", tmp_path)
    (folder / "variants/onnx-fp32").mkdir(parents=True, exist_ok=True)
    (folder / "variants/onnx-fp32/costs.json").write_text("{}")
    fetched = describe_model(push_model(str(folder), f"s3://{bucket}/m")).folder
    assert fetched is not None
    assert (fetched / "variants/onnx-fp32/costs.json").read_text() == "{}"


def test_a_variant_damaged_under_its_prefix_is_not_taken(bucket: str, s3_client: S3Client) -> None:
    url = push_model(str(made("vowels-bilstm", "openvino", "fp32")), f"s3://{bucket}/m")
    s3_client.put_object(Bucket=bucket, Key=f"m/variants/{NAME}/model.bin", Body=b"{}")
    with pytest.raises(DigestMismatch, match=r"model\.bin has sha256"):
        describe_model(url)


def test_a_damaged_variant_is_not_pushed(bucket: str, tmp_path: Path, s3_client: S3Client) -> None:
    folder = copy_made("vowels-bilstm", "openvino", "fp32", tmp_path)
    (folder / "variants" / NAME / "model.bin").write_bytes(b"")
    with pytest.raises(DigestMismatch):
        push_model(str(folder), f"s3://{bucket}/m")
    with pytest.raises(DigestMismatch):
        verify_model(str(folder))
    assert s3_client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_record_whose_variant_has_files_elsewhere_is_refused(
    bucket: str, s3_client: S3Client, tmp_path: Path
) -> None:
    url = push_model(str(made("vowels-bilstm", "openvino", "fp32")), f"s3://{bucket}/m")
    record = json.loads(s3_client.get_object(Bucket=bucket, Key="m/digest.json")["Body"].read())
    record["variants"][NAME]["files"].append("../../../outside")
    s3_client.put_object(Bucket=bucket, Key="m/digest.json", Body=json.dumps(record).encode())
    with pytest.raises(SpecInvalid, match=f"its variant '{NAME}' has files elsewhere"):
        describe_model(url)
    assert not (tmp_path / "outside").exists()


def test_a_variant_is_not_made_in_an_object_store(bucket: str) -> None:
    url = push_model(str(made("vowels-bilstm", "openvino", "fp32")), f"s3://{bucket}/m")
    with pytest.raises(SpecInvalid, match=r"lies in an object store.* push it again"):
        optimize_model(url, runtime="openvino", precision="fp32", calibration=[], held_out=[], rows_from="here")
