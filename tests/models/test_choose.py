"""Which variant runs: the one that is named, else the fastest that is near enough; and what is said where none is."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from models.choose import choose_variant
from models.errors import (
    DigestMismatch,
    MissingExtra,
    RuntimeUnavailable,
    SpecInvalid,
    VariantMissing,
    VariantTooFar,
)
from models.host import remember
from models.load import Described, describe_model, load_model
from models.runtimes.onnx_runtime import choose_device
from models.variants import Variant
from tests.models.made_variants import ZOO, copy_made, made, rows_of, scores


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was measured on this host."""
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))


def variant(runtime: str, precision: str, *, largest: float | None, speedup: float) -> Variant:
    return Variant(
        name=f"{runtime}-{precision}",
        runtime=runtime,
        precision=precision,
        folder=Path("nowhere"),
        digest=f"{runtime}-{precision}",
        tolerance=0.01,
        measured={"largest": largest, "rows_per_s": speedup * 10, "reference_rows_per_s": 10},
    )


def with_variants(*more: Variant) -> Described:
    """The BBC classifier with variants that were measured so."""
    described = describe_model(str(ZOO / "bbc-bert"))
    own = {name: one for name, one in described.variants.items() if one.folder is None}
    return replace(described, variants=own | {one.name: one for one in more})


NEAR = variant("openvino", "fp32", largest=1e-6, speedup=2.0)
FAR = variant("openvino", "int8", largest=0.03, speedup=6.0)
ONNX = variant("onnx", "int8", largest=0.2, speedup=3.0)

CHOICES: list[tuple[dict[str, Any], str]] = [
    ({}, "openvino-fp32"),
    ({"tolerance": "int8"}, "openvino-int8"),
    ({"tolerance": 0.05}, "openvino-int8"),
    ({"tolerance": 1e-7}, "onnx-fp32"),
    ({"precision": "int8"}, "openvino-int8"),
    ({"runtime": "onnx"}, "onnx-fp32"),
    ({"runtime": "onnx", "precision": "int8"}, "onnx-int8"),
    ({"runtime": "onnx", "tolerance": "int8"}, "onnx-int8"),
    ({"runtime": "openvino"}, "openvino-fp32"),
    ({"runtime": "torch"}, "torch-fp32"),
    ({"runtime": "torch", "precision": "bf16"}, "torch-bf16"),
    ({"runtime": "torch", "tolerance": "int8"}, "torch-fp32"),
    ({"runtime": "torch", "precision": "bf16", "tolerance": "int8"}, "torch-bf16"),
    ({"precision": "fp16"}, "torch-fp16"),
]


@pytest.mark.parametrize(("wish", "chosen"), CHOICES)
def test_the_fastest_that_is_near_enough_is_chosen(wish: dict[str, Any], chosen: str) -> None:
    assert choose_variant(with_variants(NEAR, FAR, ONNX), **wish).name == chosen


def test_what_was_measured_on_this_host_counts_before_what_came_along() -> None:
    remember("speed", NEAR.digest, 0.5)
    assert choose_variant(with_variants(NEAR)).name == "onnx-fp32"
    remember("speed", NEAR.digest, 1.5)
    assert choose_variant(with_variants(NEAR)).name == "openvino-fp32"


def test_a_variant_that_is_slower_or_was_not_measured_is_not_chosen() -> None:
    assert choose_variant(with_variants(replace(NEAR, measured={"largest": 1e-6}))).name == "onnx-fp32"
    unknown = variant("openvino", "int8", largest=None, speedup=9.0)
    assert choose_variant(with_variants(unknown)).name == "onnx-fp32"


def test_a_model_without_the_variant_says_what_makes_it() -> None:
    with pytest.raises(
        VariantMissing, match=r"has no variant openvino-int8; it has onnx-fp32\. Make it with: tandem"
    ) as e:
        choose_variant(with_variants(), runtime="openvino", precision="int8")
    assert str(e.value).endswith(f"model optimize {ZOO / 'bbc-bert'} --runtime openvino --precision int8")
    assert e.value.exit_code == 3


def test_a_variant_that_answers_otherwise_is_taken_only_where_that_is_said() -> None:
    with pytest.raises(
        VariantTooFar, match=r"openvino-int8 differ by up to 0\.03, the tolerance is 0\.0001.*--precision"
    ):
        choose_variant(with_variants(FAR), runtime="openvino")
    with pytest.raises(VariantTooFar, match=r"the tolerance is 0\.02"):
        choose_variant(with_variants(FAR), runtime="openvino", precision="int8", tolerance=0.02)


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host, had nobody installed openvino."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))


@pytest.mark.usefixtures("without_openvino")
def test_a_package_that_is_not_installed_is_passed_over_or_named() -> None:
    assert choose_variant(with_variants(NEAR)).name == "onnx-fp32"
    with pytest.raises(MissingExtra, match=r"--runtime openvino needs openvino.*\[openvino\]"):
        choose_variant(with_variants(NEAR), runtime="openvino")


def test_a_device_on_which_a_variant_does_not_run_is_named() -> None:
    with pytest.raises(RuntimeUnavailable, match="on the CPU only"):
        choose_variant(with_variants(NEAR), runtime="openvino", device="cuda")


def test_a_device_that_is_not_there_is_told_of_a_runtime_that_could_use_it() -> None:
    fast = with_variants(NEAR)
    assert choose_variant(fast).runtime == "openvino"
    with pytest.raises(RuntimeUnavailable, match="'onnx' cannot be used: --device cuda needs onnxruntime-gpu"):
        choose_variant(fast, device="cuda")


@pytest.mark.parametrize("tolerance", [None, "int8"])
def test_where_only_torch_has_a_gpu_auto_takes_torch_in_fp32(
    monkeypatch: pytest.MonkeyPatch, tolerance: Literal["int8"] | None
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    found = choose_variant(with_variants(NEAR, FAR), device="cuda", tolerance=tolerance)
    assert found.name == "torch-fp32"


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(RuntimeUnavailable, match=r"'tensorrt'.*no runtime of that name.*onnx, openvino, torch"):
        choose_variant(with_variants(), runtime="tensorrt")
    with pytest.raises(RuntimeUnavailable, match=r"'int4'.*no precision of that name"):
        choose_variant(with_variants(), precision="int4")


@pytest.mark.parametrize("file", ["model.bin", "model.xml", "tokenizer.json"])
def test_a_variant_that_was_changed_is_not_loaded(tmp_path: Path, file: str) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    path = folder / "variants/openvino-fp32" / file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DigestMismatch, match=rf"openvino-fp32: {file} has sha256 .* tandem model optimize"):
        load_model(str(folder), runtime="openvino")
    load_model(str(folder), runtime="onnx", threads=1)


def test_costs_beside_a_variant_are_no_part_of_it(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    (folder / "variants/openvino-fp32/costs.json").write_text("{}")
    (folder / "variants/onnx-fp32").mkdir(exist_ok=True)
    (folder / "variants/onnx-fp32/costs.json").write_text("{}")
    assert describe_model(str(folder)).variants["onnx-fp32"].reference
    load_model(str(folder), runtime="openvino", threads=1)


@pytest.mark.parametrize("content", ["{", "[]", '{"runtime": "openvino"}', '{"runtime": 3}'])
def test_a_record_that_is_none_is_one_line_for_who_names_it_and_stops_nobody_else(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    (folder / "variants/openvino-fp32/variant.json").write_text(content)
    assert load_model(str(folder), threads=1).variant == "onnx-fp32"
    assert "variant passed over" in caplog.text
    with pytest.raises(SpecInvalid, match=r"variant\.json: is not the record of a variant") as error:
        load_model(str(folder), runtime="openvino")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("runtime", "tvm"), ("precision", "int4")])
def test_a_record_of_an_unknown_runtime_or_precision_is_passed_over_in_one_line(
    tmp_path: Path, key: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    path = folder / "variants/openvino-fp32/variant.json"
    record = json.loads(path.read_text()) | {key: value}
    path.write_text(json.dumps(record))
    path.parent.rename(folder / "variants" / f"{record['runtime']}-{record['precision']}")
    assert load_model(str(folder), threads=1).variant == "onnx-fp32"
    assert re.search(rf"{key}: expected one of .*, found '{value}'", caplog.text)


@pytest.fixture
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """This host, had its processor no bf16 arithmetic."""
    import openvino

    class Core(openvino.Core):  # type: ignore[misc]
        def get_property(self, *names: str) -> Any:
            found = super().get_property(*names)
            return [one for one in found if one != "BF16"] if names[-1] == "OPTIMIZATION_CAPABILITIES" else found

    monkeypatch.setattr(openvino, "Core", Core)


@pytest.mark.usefixtures("without_bf16")
def test_a_precision_that_this_processor_lacks_is_passed_over_or_named() -> None:
    bf16 = variant("openvino", "bf16", largest=1e-5, speedup=9.0)
    assert choose_variant(with_variants(NEAR, bf16)).name == "openvino-fp32"
    with pytest.raises(RuntimeUnavailable, match="this processor has no bf16 arithmetic"):
        choose_variant(with_variants(bf16), runtime="openvino", precision="bf16")


def test_a_variant_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "fp32", tmp_path)
    shutil.move(folder / "variants/openvino-fp32", folder / "variants/onnx-int8")
    with pytest.raises(SpecInvalid, match="it is of openvino-fp32"):
        load_model(str(folder), runtime="onnx", precision="int8")


def test_a_record_with_another_digest_is_not_loaded(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "int8", tmp_path)
    path = folder / "variants/openvino-int8/variant.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"digest": "0" * 64}))
    with pytest.raises(DigestMismatch, match=r"variant\.json has sha256"):
        load_model(str(folder), runtime="openvino", precision="int8")


@pytest.mark.parametrize("change", [{"tolerance": 0.9}, {"measured": {"largest": 0.0, "rows_per_s": 9e9}}])
def test_a_tolerance_or_a_measurement_that_was_changed_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = copy_made("bbc-bert", "openvino", "int8", tmp_path)
    path = folder / "variants/openvino-int8/variant.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DigestMismatch, match=r"openvino-int8: variant\.json has sha256 .* tandem model optimize"):
        load_model(str(folder), runtime="openvino", precision="int8")


def test_a_graph_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = copy_made("bbc-bert", "openvino", "int8", tmp_path)
    (folder / "variants/openvino-int8/model.xml").unlink()
    assert load_model(str(folder), threads=1).variant == "onnx-fp32"
    with pytest.raises(DigestMismatch, match=r"model\.xml has sha256 \(gone\).* tandem model optimize"):
        load_model(str(folder), runtime="openvino", precision="int8")


def test_a_near_tie_leaves_the_reference_where_it_is() -> None:
    for speedup, chosen in ((1.03, "onnx-fp32"), (1.06, "openvino-fp32")):
        near = variant("openvino", "fp32", largest=1e-7, speedup=speedup)
        assert choose_variant(with_variants(near)).name == chosen


def test_auto_answers_with_what_it_chose() -> None:
    folder, rows = made("bbc-bert", "openvino", "int8"), rows_of("bbc-bert", 6)
    assert load_model(str(folder), threads=1).variant == "onnx-fp32", "int8 is not the reference's answer to 1e-4"
    chosen = load_model(str(folder), precision="int8", threads=1)
    assert chosen.variant == "openvino-int8"
    named = scores(folder, rows, runtime="openvino", precision="int8")
    assert [dict(answer["scores"]) for answer in chosen.predict(rows)] == named


@pytest.mark.parametrize(
    ("device", "installed", "chosen"),
    [
        ("auto", ["CPU"], "cpu"),
        ("auto", ["CUDA", "CPU"], "cuda"),
        ("auto", ["Tensorrt", "CUDA", "CPU"], "cuda"),
        ("tensorrt", ["Tensorrt", "CUDA", "CPU"], "tensorrt"),
        ("cpu", ["Tensorrt", "CUDA", "CPU"], "cpu"),
    ],
)
def test_the_provider_of_a_device_is_taken_where_it_is_installed(
    device: str, installed: list[str], chosen: str
) -> None:
    assert choose_device(device, [f"{name}ExecutionProvider" for name in installed]) == chosen


def test_a_provider_that_is_not_installed_is_named() -> None:
    with pytest.raises(RuntimeUnavailable, match=r"--device tensorrt needs onnxruntime-gpu and its TensorrtExecution"):
        choose_device("tensorrt", ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailable, match="--device tensorrt is of onnx only"):
        choose_variant(with_variants(), runtime="torch", device="tensorrt")
