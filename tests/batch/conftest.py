"""A model of the zoo as an artifact, and the places where jobs read and write."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.loaders import JSONFileLoader
from safetensors.numpy import load_file

from batch.cli.answer import answer
from models.artifact import record_digest
from models.networks.recurrent_config import read_config
from models.networks.recurrent_onnx import write_recurrent_onnx
from models.spec import ModelSpec, write_spec
from tests.batch.command import Command, Ended
from tests.batch.hurting_models import CALLS, MARKS
from tests.batch.places import Bucket, Folder, Place

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ZOO = Path(__file__).parents[2] / "models" / "zoo"


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_parsed_once() -> Iterator[None]:
    """botocore reads its description of S3 for every session anew; a process of ours opens two, the tests hundreds."""
    load = functools.cache(JSONFileLoader().load_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        yield


@pytest.fixture(scope="session")
def vowels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of the zoo's recurrent classifier of vowels; takes `steps`, says which of nine speakers."""
    folder = tmp_path_factory.mktemp("models") / "vowels"
    folder.mkdir()
    config = read_config(ZOO / "vowels-bilstm")
    write_recurrent_onnx(config, load_file(ZOO / "vowels-bilstm" / "model.safetensors"), folder / "model.onnx")
    (folder / "config.json").write_bytes((ZOO / "vowels-bilstm" / "config.json").read_bytes())
    spec = {
        "name": "vowels",
        "family": "rnn",
        "task": "sequence-classification",
        "inputs": [{"name": "steps", "kind": "sequence"}],
        "labels": config.labels,
        "architecture": "recurrent",
    }
    write_spec(ModelSpec.model_validate(spec), folder)
    record_digest(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "place").mkdir()
    return Folder(tmp_path / "place")


@pytest.fixture
def s3_place(bucket: str, s3_client: S3Client) -> Bucket:
    return Bucket(bucket, s3_client)


@pytest.fixture(params=["folder", pytest.param("s3_place", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest) -> Place:
    """A folder, and a bucket: a test that takes it holds for both."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`tandem` in this process, which takes a tenth of the time of a process; some tests start the real one."""

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tandem", *words])
        capsys.readouterr()
        code = 0
        try:
            answer()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


@pytest.fixture
def unloadable(vowels: Path, tmp_path: Path) -> str:
    """A model whose spec and digest are good and whose graph is none: who loads it gets exit code 3 or a traceback."""
    folder = tmp_path / "unloadable"
    shutil.copytree(vowels, folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    record_digest(folder)
    return str(folder)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which every call of the arithmetic is a line."""
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    monkeypatch.setenv(MARKS, str(tmp_path / "marks"))
    return tmp_path / "calls"
