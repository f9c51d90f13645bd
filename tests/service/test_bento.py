"""One built bento does both: it answers requests, and runs a job in its own source, with the same model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bento import ROOT
from service.requirements import BUILD_ONLY, normal_name
from tests.service.client import predict
from tests.service.server import Server, bentoml_command, environment, serving

MODEL = "bbc-bert"
TEXTS = [
    "The chancellor raised interest rates again, and shares fell.",
    "The striker scored twice in the cup final.",
    None,
    "A new film by the director opens on Friday.",
    "größer 東京 🚲",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bento:
    """A built bento and the BentoML home that it was built in."""

    folder: Path
    home: Path


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Bento:
    home = tmp_path_factory.mktemp("bento") / "home"
    built = subprocess.run(
        bentoml_command("build"),
        cwd=ROOT,
        env=environment(home, {"TANDEM_MODELS": MODEL, "UV_OFFLINE": "1"}),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    bentos = home / "bentos" / "tandem"
    return Bento(folder=bentos / (bentos / "latest").read_text(encoding="utf-8").strip(), home=home)


@pytest.fixture(scope="module")
def server(bento: Bento, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with serving(bento.home, {}, target=("tandem:latest",), folder=elsewhere) as running:
        yield running


def run_job(source: Path, home: Path, tmp_path: Path) -> tuple[dict[str, object], list[dict[str, object]]]:
    """`tandem run` as the bento's source has it; the manifest, and the rows."""
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"body": TEXTS}), tmp_path / "in" / "rows.parquet")
    job = ["run", "--model", MODEL, "--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-m", "batch.cli.main", *job, "--column", "text=body"],
        cwd=source,
        env=environment(home, {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    manifest = json.loads((tmp_path / "out" / "_tandem" / "manifest.json").read_text(encoding="utf-8"))
    parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist(maps_as_pydicts="strict")]
    return manifest, rows


def test_the_bento_serves_and_runs_the_same_model_with_the_same_answers(
    bento: Bento, server: Server, tmp_path: Path
) -> None:
    reply = predict(server.port, MODEL, [{"text": text} for text in TEXTS])
    manifest, rows = run_job(bento.folder / "src", bento.home, tmp_path)
    assert manifest["model"]["digest"] == reply.content["digest"]  # type: ignore[index]
    assert manifest["model"]["tag"] == reply.content["model"]  # type: ignore[index]
    assert manifest["model"]["variant"] == reply.content["variant"]  # type: ignore[index]
    for online, batch in zip(reply.predictions, rows, strict=True):
        if "error" in online:
            assert batch["error"] == online["error"]
        else:
            assert batch["label"] == online["label"]
            assert batch["scores"] == pytest.approx(online["scores"], abs=1e-4)


def test_the_bento_serves_the_models_that_it_was_built_with(bento: Bento, server: Server) -> None:
    served = [card["model"] for card in server.get("/models").content["models"]]
    assert served == [f"{MODEL}:{(bento.home / 'models' / MODEL / 'latest').read_text(encoding='utf-8')}"]
    assert b"<title>Tandem</title>" in server.get("/ui").body


def test_a_bento_that_holds_the_models_itself_serves_them_as_in_a_container(bento: Bento, tmp_path: Path) -> None:
    """`bentoml containerize` puts the models into the bento, and leaves BENTOML_HOME without any.

    Here in processes of their own, of which a bento that was built without knows nothing.
    """
    contained = tmp_path / "bento"
    shutil.copytree(bento.folder, contained)
    shutil.copytree(bento.home / "models", contained / "models")
    isolated = {"TANDEM_ISOLATED": "1", "TANDEM_SPARE_PROCESSES": "0"}
    with serving(tmp_path / "empty", isolated, target=(str(contained),), folder=tmp_path) as running:
        reply = predict(running.port, MODEL, [TEXTS[0]])
        assert reply.content["model"] == running.get("/models").content["models"][0]["model"]
        assert "error" not in reply.predictions[0]
    assert not list((tmp_path / "empty").glob("models/*/*"))


def test_the_image_has_the_packages_of_the_base_installation_and_of_serve(bento: Bento) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {normal_name(line) for line in project["dependencies"] + project["optional-dependencies"]["serve"]}
    lines = (bento.folder / "env" / "python" / "requirements.txt").read_text(encoding="utf-8").split()
    assert {normal_name(line) for line in lines} == wanted - BUILD_ONLY
    assert all("==" in line for line in lines)
    assert "USER bentoml" in (bento.folder / "env" / "docker" / "Dockerfile").read_text(encoding="utf-8")


def test_the_bento_has_the_source_and_no_weights_of_the_zoo(bento: Bento) -> None:
    source = bento.folder / "src"
    python = {path.relative_to(ROOT) for room in ("models", "batch", "service") for path in (ROOT / room).rglob("*.py")}
    page = {path.relative_to(ROOT) for path in (ROOT / "service" / "ui" / "static").iterdir()}
    assert {path for path in python | page if not (source / path).is_file()} == set()
    assert list(source.rglob("*.safetensors")) == list(source.rglob("*.onnx")) == []
