"""What keeps a name from becoming a model is found before loading, and said in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from models import zoo
from models.artifact import refuse_unsafe
from models.choose import choose_variant
from models.errors import ArtifactRefused, ModelNotFound, RuntimeUnavailable, SpecInvalid
from models.load import describe_model
from models.runtimes.onnx_runtime import installed_providers

VOWELS = Path(zoo.__file__).parent / "vowels-bilstm"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an operator's module that is found on sys.path, `<folder>/operators_own.py`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "operators_own", raising=False)
    return "operators_own"


@pytest.mark.parametrize(
    ("source", "line", "complaint"),
    [
        ("import math\nfrom math import nothing\n", 2, "ImportError: cannot import name 'nothing'"),
        ("import math\nimport operators\n", 2, "ModuleNotFoundError: No module named 'operators'"),
        ("\n\ndef f(:\n    pass\n", 3, "SyntaxError: invalid syntax"),
        ("import json\n\n\njson.loads('{')\n", 4, "JSONDecodeError: Expecting property name"),
        ("import sys\nsys.exit(5)\n", 2, "SystemExit: 5"),
    ],
)
def test_an_own_module_that_does_not_import_is_named_with_its_line(
    write_module: str, tmp_path: Path, source: str, line: int, complaint: str
) -> None:
    file = tmp_path / f"{write_module}.py"
    file.write_text(source)
    with pytest.raises(SpecInvalid) as error:
        describe_model(f"{write_module}:Thing")
    assert f"importing it failed at {file}, line {line}: {complaint}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [".x:Path", ":Path", "a..b:Path", "a.:Path"])
def test_half_a_modules_name_is_refused(name: str) -> None:
    with pytest.raises(SpecInvalid, match=r"expected package\.module:Class"):
        describe_model(name)


def test_a_module_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ModelNotFound, match=r"the module nobody\.wrote_this on sys\.path"):
        describe_model("nobody.wrote_this:Thing")


@pytest.mark.skipif("CUDAExecutionProvider" in installed_providers(), reason="this host has CUDA")
def test_a_device_that_is_not_there_is_found_before_loading() -> None:
    described = describe_model(str(VOWELS))
    for runtime in ("auto", "onnx", "torch"):
        choose_variant(described, runtime=runtime)
        choose_variant(described, runtime=runtime, device="cpu")
    with pytest.raises(RuntimeUnavailable, match="needs onnxruntime-gpu"):
        choose_variant(described, runtime="onnx", device="cuda")


def test_a_device_that_torch_does_not_see_is_found_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeUnavailable, match="torch sees no CUDA device"):
        choose_variant(describe_model(str(VOWELS)), runtime="torch", device="cuda")


@pytest.mark.parametrize("name", ["WEIGHTS.PT", "model.Pkl", "deep/Setup.PY", "x.SO"])
def test_a_pickle_or_code_is_refused_however_its_suffix_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(ArtifactRefused, match=name.replace(".", r"\.")):
        refuse_unsafe(tmp_path)
