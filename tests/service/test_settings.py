"""What the environment may say, and what it is told where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.locate import zoo_folders
from models.store import save_model
from service.bento import ROOT, models_of_bento
from service.errors import SettingsInvalid
from service.requirements import image_packages, runtimes_of
from service.settings import read_settings
from tests.models.made_variants import made


def test_nothing_said_means_the_zoo_on_onnx() -> None:
    settings = read_settings({})
    assert settings.models == tuple(folder.name for folder in zoo_folders())
    assert (settings.runtime, settings.device, settings.door.max_body_bytes) == ("auto", "auto", 16 * 1024 * 1024)
    assert settings.threads >= 1


@pytest.mark.parametrize(("said", "meant"), [("", None), ("int8", "int8"), ("0.01", 0.01)])
def test_a_tolerance_is_a_number_or_int8(said: str, meant: object) -> None:
    assert read_settings({"TANDEM_MODELS": "a", "TANDEM_TOLERANCE": said}).tolerance == meant


def test_in_a_bento_its_own_models_stand_in_for_the_zoo_and_the_environment_wins() -> None:
    assert read_settings({}, built_with=("mine:1",)).models == ("mine:1",)
    assert read_settings({"TANDEM_MODELS": " a , b:2,"}, built_with=("mine:1",)).models == ("a", "b:2")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TANDEM_RUNTIME", "tensorrt", "one of auto, onnx, openvino, torch"),
        ("TANDEM_DEVICE", "tpu", "one of auto, cpu, cuda, tensorrt"),
        ("TANDEM_MAX_QUEUE_ROWS", "many", "a whole number from 1 to"),
        ("TANDEM_MAX_QUEUE_ROWS", "0", "a whole number from 1 to"),
        ("TANDEM_MAX_BODY_MB", "-1", "a whole number from 1 to"),
        ("TANDEM_THREADS", "2.5", "a whole number from 1 to"),
        ("TANDEM_PRECISION", "int4", "one of auto, fp32, bf16, fp16, int8"),
        ("TANDEM_TOLERANCE", "-1", "a number above 0, or int8"),
        ("TANDEM_TOLERANCE", "nan", "a number above 0, or int8"),
        ("TANDEM_MODELS", "a,b,a", "each model once"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"{variable} \(--[a-z-]+\)='{value}': expected {expected}"):
        read_settings({"TANDEM_MODELS": "a", variable: value})


def test_the_models_of_a_bento_are_read_from_its_description(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    assert models_of_bento(source) == ()
    (tmp_path / "bento.yaml").write_text(
        "models: []\nservices:\n- name: tandem\n  models:\n  - tag: a:1\n  - tag: b:2\n", encoding="utf-8"
    )
    assert models_of_bento(source) == ("a:1", "b:2")
    assert models_of_bento(tmp_path) == ()


@pytest.mark.parametrize(
    ("runtime", "packages"),
    [("auto", {"openvino"}), ("onnx", set()), ("openvino", {"openvino"}), ("torch", {"torch", "transformers"})],
)
def test_the_image_of_a_bento_holds_what_its_models_variants_need(
    runtime: str, packages: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    save_model(made("vowels-bilstm", "openvino", "fp32"), "vowels")
    settings = read_settings({"TANDEM_MODELS": "vowels,bbc-bert", "TANDEM_RUNTIME": runtime})
    listed = {line.partition("==")[0] for line in image_packages(ROOT, runtimes_of(settings))}
    assert listed & {"openvino", "torch", "transformers"} == packages
