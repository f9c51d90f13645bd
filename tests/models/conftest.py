"""Artifacts made of real folders: recognised, exported and recorded, once for a test session."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models import zoo
from models.artifact import record_digest
from models.detect import detect_spec
from models.export import export_onnx
from models.networks.build import build_network
from models.spec import write_spec

Artifact = Callable[[str], Path]


def make_artifact(source: Path, folder: Path, *, export: bool = True) -> Path:
    """A folder of weights as a model that every runtime loads; without the export, only torch does."""
    shutil.copytree(source, folder)
    spec = detect_spec(folder, name=source.name)
    if export:
        export_onnx(build_network(folder, spec), spec, folder / "model.onnx")
    write_spec(spec, folder)
    record_digest(folder)
    return folder


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model of the committed zoo by its name, as an artifact folder."""
    made: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in made:
            made[name] = make_artifact(Path(zoo.__file__).parent / name, tmp_path_factory.mktemp("artifact") / name)
        return made[name]

    return find
