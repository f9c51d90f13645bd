"""What the environment may say, and what it is told where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.locate import zoo_folders
from service.bento import models_of_bento
from service.errors import SettingsInvalid
from service.settings import read_settings


def test_nothing_said_means_the_zoo_on_onnx() -> None:
    settings = read_settings({})
    assert settings.models == tuple(folder.name for folder in zoo_folders())
    assert (settings.runtime, settings.device, settings.max_body_bytes) == ("auto", "auto", 16 * 1024 * 1024)
    assert settings.threads >= 1


def test_in_a_bento_its_own_models_stand_in_for_the_zoo_and_the_environment_wins() -> None:
    assert read_settings({}, built_with=("mine:1",)).models == ("mine:1",)
    assert read_settings({"TANDEM_MODELS": " a , b:2,"}, built_with=("mine:1",)).models == ("a", "b:2")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TANDEM_RUNTIME", "tensorrt", "one of auto, onnx, openvino, torch"),
        ("TANDEM_DEVICE", "tpu", "one of auto, cpu, cuda"),
        ("TANDEM_MAX_QUEUE_ROWS", "many", "a whole number from 1 to"),
        ("TANDEM_MAX_QUEUE_ROWS", "0", "a whole number from 1 to"),
        ("TANDEM_MAX_BODY_MB", "-1", "a whole number from 1 to"),
        ("TANDEM_THREADS", "2.5", "a whole number from 1 to"),
        ("TANDEM_MODELS", "a,b,a", "each model once"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"{variable}='{value}': expected {expected}"):
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
