"""A job on the onnx runtime needs numpy, pyarrow, onnxruntime and tokenizers: nothing that fills a large image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.batch.command import ROOT, environment
from tests.batch.conftest import ZOO
from tests.batch.places import Bucket, put_table, read_json, read_output

_LEAN = """
import sys

ABSENT = ("torch", "transformers", "bentoml", "pandas", "onnx", "safetensors")

class Lean:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *where):
        return None if name.partition(".")[0] in ABSENT else self.finder.find_spec(name, *where)

sys.meta_path[:] = [Lean(finder) for finder in sys.meta_path]
for name in ("torch", "bentoml"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} was imported")
from batch.cli.main import main
main()
"""


def test_a_job_runs_where_importing_torch_transformers_bentoml_and_pandas_fails(s3_place: Bucket, vowels: Path) -> None:
    put_table(s3_place, "in/vowels.parquet", pq.read_table(ZOO / "data" / "vowels.parquet").slice(0, 50))
    places = ("--input", s3_place.url + "in/", "--output", s3_place.url + "out/")
    words = ("run", "--model", str(vowels), *places, "--label", "speaker", "--where", "id >= 0")
    ended = subprocess.run(
        [sys.executable, "-c", _LEAN, *words], cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert read_output(s3_place).num_rows == 50
    manifest = read_json(s3_place, "out/_tandem/manifest.json")
    assert manifest["model"]["variant"] == "onnx-fp32"
    assert manifest["quality"]["accuracy"] > 0.9
    assert "torch" in manifest["run"]["versions"], "the environment of this test has torch, or it shows nothing"


def test_the_torch_runtime_says_which_line_installs_it(s3_place: Bucket, vowels: Path) -> None:
    put_table(s3_place, "in/vowels.parquet", pq.read_table(ZOO / "data" / "vowels.parquet").slice(0, 5))
    places = ("--input", s3_place.url + "in/", "--output", s3_place.url + "out/")
    words = ("run", "--model", str(vowels), *places, "--runtime", "torch")
    ended = subprocess.run(
        [sys.executable, "-c", _LEAN, *words], cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert "pip install -c constraints.txt -e '.[torch]'" in ended.stderr
