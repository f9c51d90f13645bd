"""A job on the onnx runtime needs numpy, pyarrow, onnxruntime and tokenizers: nothing that fills a large image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.batch.command import ROOT, environment
from tests.batch.conftest import ZOO
from tests.batch.places import Bucket, Folder, put_table, read_json, read_output, texts

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


_LISTED = """
import sys
from batch.cli.main import main
main()
print("imported", *sorted(sys.modules))
"""


def imported(*words: str) -> set[str]:
    """What a command has imported when it has ended well."""
    ended = subprocess.run(
        [sys.executable, "-c", _LISTED, *words],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.splitlines()[-1].split()[1:])


def test_a_job_imports_nothing_that_it_does_not_need(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(30))
    places = ("--input", folder.url + "in/", "--output", folder.url + "out/")
    found = imported("run", "--model", "bbc-bert", *places)
    assert {"onnxruntime", "pyarrow.parquet", "tokenizers"} <= found, "or this shows nothing"
    heavy = {"torch", "transformers", "bentoml", "pandas", "ray", "openvino", "onnx", "safetensors", "huggingface_hub"}
    assert not found & heavy
    assert not found & {"sklearn", "scipy"}, "a job does without them"
    assert not found & {"sqlglot", "pyarrow.dataset"}, "these are for --where"
    assert not found & {"boto3", "botocore"}, "these are for s3://"
    assert not found & {"rich", "moto"}, "these are for a terminal, and for the demo"
    assert read_output(folder).num_rows == 30


def test_help_imports_no_more_than_click() -> None:
    assert not imported("schema") & {"pandas", "onnxruntime", "torch", "boto3"}
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "batch.cli.main", "--help"],
        cwd=ROOT, env=environment({}), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "click.core" in ended.stderr
    assert "pyarrow" not in ended.stderr
    assert "pydantic" not in ended.stderr


@pytest.mark.parametrize(
    "by",
    [
        "import pandas; assert pa.array(pandas.Series([1.0, float('nan')])).null_count == 1",
        "assert pa.Table.from_pandas(pa.table(dict(a=[1])).to_pandas()).num_rows == 1",
    ],
)
def test_pandas_that_is_imported_later_is_taken_as_ever(by: str) -> None:
    later = f"""
from batch.lean import leave_pandas_out
leave_pandas_out()
import sys
import pyarrow as pa
assert pa.array([1.0]).to_pylist() == [1.0] and "pandas" not in sys.modules
{by}
assert pa.table(dict(a=[1])).to_pandas().a.tolist() == [1]
"""
    ended = subprocess.run([sys.executable, "-c", later], cwd=ROOT, env=environment({}), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


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
