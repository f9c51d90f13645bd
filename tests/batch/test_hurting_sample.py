"""A row that hurts in the sample that the gate sends through both models costs the job a process, and not its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from models.artifact import record_digest
from models.samples import TEXTS
from tests.batch.command import ROOT, Ended, environment
from tests.batch.places import Folder, put_table, read_json, read_output
from tests.models import damage

#: A command in whose own processes a text hurts while it is encoded; in worker processes, which know nothing of this,
#: it is a text like others.
_HURT = """
import importlib.util, os, signal, sys, time
class Hurting:
    def find_spec(self, name, path=None, target=None):
        if name != "models.transformer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def hurt(module):
            execute(module)
            encode = module.TransformerModel.encode
            def encode_or_hurt(self, values):
                texts = values if isinstance(values, list) else values.to_pylist()
                if "segfaults" in texts:
                    os.kill(os.getpid(), signal.SIGSEGV)
                if "hangs" in texts:
                    time.sleep(600)
                return encode(self, values)
            module.TransformerModel.encode = encode_or_hurt
        spec.loader.exec_module = hurt
        return spec
sys.meta_path.insert(0, Hurting())
from batch.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with an int8 variant."""
    folder = damage.copy_of("bbc-bert", tmp_path_factory.mktemp("model") / "bbc-bert")
    record_digest(folder)
    damage.make_int8(folder, tolerance=0.02)
    return folder


def run(command: str, folder: Folder, model: Path, *more: str) -> Ended:
    places = ("--model", str(model), "--input", folder.url + "in/", "--output", folder.url + "out/")
    words = [command, *places, "--runtime", "onnx", "--precision", "int8", "--threads", "1", "--stall-s", "4", *more]
    found = subprocess.run(
        [sys.executable, "-c", _HURT, *words],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ended(code=found.returncode, out=found.stdout, err=found.stderr)


@pytest.mark.parametrize(
    ("deed", "ending"), [("segfaults", "ended with signal SIGSEGV"), ("hangs", "gave no answer within 4 s")]
)
def test_the_job_goes_on_and_compares_samples_that_come_along(
    folder: Folder, sound: Path, deed: str, ending: str
) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": [*TEXTS[:20], deed, *TEXTS[20:40]]}))
    end = run("run", folder, sound)
    assert end.code == 0, end.err
    assert end.err.count(f"supervised reason=(the job's process {ending})") == 1
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "samples that come along"
    assert read_output(folder)["error"].null_count == len(TEXTS[:40]) + 1
