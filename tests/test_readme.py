"""The README is true: its blocks run as they stand, its reference is the schema's, its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from batch.cli.main import COMMANDS
from batch.spec import JobSpec
from tests.reference import README, with_reference
from tests.service.server import ROOT, environment, serving

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(TEXT) if found == language]


@pytest.fixture
def newcomer(tmp_path: Path, s3: str, s3_client: Any) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with articles, a bucket named my-bucket, and a shell in which tandem is on the path."""
    table = pa.table(
        {
            "id": [1, 2, 3],
            "date": ["2026-01-01", "2026-01-02", "2026-01-03"],
            "lang": ["en", "en", "de"],
            "body": ["The striker scored twice.", "Shares fell in early trading.", "Der Zug kam zu spät."],
        }
    )
    (tmp_path / "articles").mkdir()
    pq.write_table(table, tmp_path / "articles/a.parquet")
    s3_client.create_bucket(Bucket="my-bucket")
    s3_client.upload_file(str(tmp_path / "articles/a.parquet"), "my-bucket", "articles/a.parquet")
    settings = environment(tmp_path / "home", {"AWS_ENDPOINT_URL": s3})
    settings["PATH"] = f"{Path(sys.executable).parent}:{settings['PATH']}"
    settings["PYTHONPATH"] = str(ROOT)
    yield tmp_path, settings
    for info in s3_client.list_objects_v2(Bucket="my-bucket").get("Contents", []):
        s3_client.delete_object(Bucket="my-bucket", Key=info["Key"])
    s3_client.delete_bucket(Bucket="my-bucket")


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


def test_the_python_block_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    (block,) = blocks("python")
    assert "sports" in run([sys.executable, "-c", block], folder, settings)


def test_the_job_file_runs_as_it_stands(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, settings = newcomer
    (block,) = blocks("yaml")
    assert set(yaml.safe_load(block)) <= set(JobSpec.model_fields)
    (folder / "job.yaml").write_text(block)
    assert "2 rows in 1 parts" in run(["tandem", "run", "job.yaml"], folder, settings)


def test_the_request_is_answered_as_it_stands(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("sh") if block.startswith("curl ")]
    with serving(tmp_path / "home", {"TANDEM_MODELS": "bbc-bert"}) as server:
        answer = run(["bash", "-c", block.replace(":3000", f":{server.port}")], tmp_path, dict(os.environ))
    assert '"label":"sports"' in answer
    assert '"error":{"class":"NullValue"' in answer


def test_the_job_file_reference_is_the_schema() -> None:
    assert with_reference(TEXT) == TEXT, "write it again with: python -m tests.reference"


def test_every_command_of_the_readme_exists() -> None:
    assert set(re.findall(r"\btandem ([a-z]+)\b", "\n".join(blocks("sh")))) <= COMMANDS.keys()
    for line in TEXT.splitlines():
        for target in re.findall(r"\]\(([^)#:]+)\)", line):
            assert (ROOT / target).exists(), f"README links to {target}, which is not there"
