"""The README is true: its blocks run as they stand, its reference is the schema's, its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from batch.cli.commands import COMMANDS
from batch.demo import demo
from batch.spec import JobSpec
from tests.reference import README, with_reference
from tests.service.server import ROOT, environment, serving

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(TEXT) if found == language]


@pytest.fixture
def newcomer(tmp_path: Path, s3: str, s3_client: Any) -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty folder, the bucket that `tandem demo --keep` makes, and a shell in which tandem is on the path."""
    demo.put_data()
    settings = environment(tmp_path / "home", {"AWS_ENDPOINT_URL": s3})
    settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
    settings["PYTHONPATH"] = str(ROOT)
    yield tmp_path, settings
    pages = s3_client.get_paginator("list_objects_v2").paginate(Bucket="demo")
    for info in [info for page in pages for info in page.get("Contents", [])]:
        s3_client.delete_object(Bucket="demo", Key=info["Key"])
    s3_client.delete_bucket(Bucket="demo")


def run(command: list[str], folder: Path, settings: dict[str, str]) -> str:
    result = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return result.stdout


def test_the_first_block_holds_the_two_commands_of_the_makefile() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^make (\w+)", blocks("sh")[0], re.MULTILINE) == ["demo", "test"]
    assert {"demo", "test"} <= set(targets)


def test_every_block_of_tandem_commands_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    chosen = [block for block in blocks("sh") if block.startswith("tandem ")]
    assert len(chosen) >= 2
    for block in chosen:
        assert run(["bash", "-euo", "pipefail", "-c", block], folder, settings).strip()


def test_the_class_of_ones_own_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    (block,) = [block for block in blocks("sh") if block.startswith("cat > words.py")]
    run(["tandem", "zoo", "data", "data/"], folder, settings)
    said = run(["bash", "-euo", "pipefail", "-c", block], folder, settings)
    assert "0 error rows" in said


def test_the_python_block_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    (block,) = [block for block in blocks("python") if "service.client" not in block]
    assert "sports" in run([sys.executable, "-c", block], folder, settings)


def test_the_job_file_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    (block,) = blocks("yaml")
    assert set(yaml.safe_load(block)) <= set(JobSpec.model_fields)
    (folder / "job.yaml").write_text(block)
    assert "100 rows in 1 part" in run(["tandem", "run", "job.yaml"], folder, settings)


def test_the_request_is_answered_as_it_stands(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("sh") if block.startswith("curl ")]
    (job,) = [block for block in blocks("sh") if block.startswith("job=")]
    clients = [block for block in blocks("sh") if block.startswith("python - <<")]
    (our_client,) = [block for block in blocks("python") if "service.client" in block]
    (changes,) = [block for block in blocks("sh") if block.startswith("models=")]
    (goal,) = [block for block in blocks("sh") if block.startswith("lanes=")]
    (seeing,) = [block for block in blocks("sh") if block.startswith("server=")]
    (tables,) = [block for block in blocks("sh") if block.startswith("predict=")]
    models = "bbc-bert,vowels-bilstm,tests.service.models:EmbeddingModel"
    settings = {"TANDEM_MODELS": models, "TANDEM_LATENCY_SLO": "500ms"}
    shell = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with serving(tmp_path / "home", settings) as server:
        answer = run(["bash", "-c", block.replace(":3000", f":{server.port}")], tmp_path, dict(os.environ))
        job = job.replace(":3000", f":{server.port}").replace("vowels-predicted", f"{tmp_path}/out")
        events = run(["bash", "-euo", "pipefail", "-c", job], tmp_path, dict(os.environ))
        triton, embeddings = (
            run(["bash", "-c", client.replace(":3000", f":{server.port}").replace("minilm", "counts")], tmp_path, shell)
            for client in clients
        )
        tables = tables.replace(":3000", f":{server.port}").replace("@models/", f"@{ROOT}/models/")
        lines = run(["bash", "-euo", "pipefail", "-c", tables], tmp_path, shell)
        ours = run([sys.executable, "-c", our_client.replace(":3000", f":{server.port}")], ROOT, shell)
        changed = run(["bash", "-euo", "pipefail", "-c", changes.replace(":3000", f":{server.port}")], tmp_path, shell)
        load = run(["bash", "-euo", "pipefail", "-c", goal.replace(":3000", f":{server.port}")], tmp_path, shell)
        seen = run(["bash", "-euo", "pipefail", "-c", seeing.replace(":3000", f":{server.port}")], tmp_path, shell)
    assert '"label":"business"' in load
    assert '"slo_s":0.5' in load
    assert "from-the-readme" in seen
    assert 'tandem_lane_up{model="bbc-bert:' in seen
    assert "b'sports'" in triton
    assert "WrongType" in triton
    assert ['"sports"' in line for line in lines.splitlines()] == [True, False]
    assert pq.read_table(tmp_path / "predicted.parquet").column_names[:3] == ["id", "speaker", "label"]
    assert ours.startswith("sports 0.9")
    assert "null" in ours
    assert "2 vectors of 4 by counts:1" in embeddings
    assert changed.count('"name":"vowels-bilstm"') == 2
    assert '"error"' not in changed.replace('"error"]', "")
    assert '"status": "done"' in events.splitlines()[-2]
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert '"label":"sports"' in answer
    assert '"error":{"class":"NullValue"' in answer


def test_the_job_file_reference_is_the_schema() -> None:
    assert with_reference(TEXT) == TEXT, "write it again with: python -m tests.reference"


def test_every_command_of_the_readme_exists() -> None:
    assert set(re.findall(r"\btandem ([a-z]+)\b", "\n".join(blocks("sh")))) <= COMMANDS.keys()
    for line in TEXT.splitlines():
        for target in re.findall(r"\]\(([^)#:]+)\)", line):
            assert (ROOT / target).exists(), f"README links to {target}, which is not there"
