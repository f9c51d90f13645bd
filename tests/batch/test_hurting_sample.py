"""A row that hurts in the sample that the gate sends through both models costs the job a process, and not its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from models.artifact import record_digest
from models.host import remember
from models.load import describe_model
from models.samples import TEXTS
from tests.batch.command import ROOT, Ended, environment
from tests.batch.places import Folder, put_table, read_json, read_output
from tests.models import damage
from tests.models.made_variants import made, rows_of

#: On the path of a command and of the processes that it starts, a text hurts while it is encoded.
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
"""

#: On that path, the first process that imports a module is killed.
_KILLED = """
import os, signal, sys
class Killed:
    def find_spec(self, name, path=None, target=None):
        marker = __file__ + ".killed"
        if name == "MODULE" and not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
sys.meta_path.insert(0, Killed())
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with an int8 variant."""
    folder = damage.copy_of("bbc-bert", tmp_path_factory.mktemp("model") / "bbc-bert")
    record_digest(folder)
    damage.make_int8(folder, tolerance=0.02)
    return folder


def run(folder: Folder, model: Path, *how: str, path: str = "") -> Ended:
    words = ["--model", str(model), "--input", folder.url + "in/", "--output", folder.url + "out/", "--threads", "1"]
    return python("-m", "batch.cli.main", "run", *words, *(how or ("--precision", "int8")), "--stall-s", "3", path=path)


def python(*words: str, path: str) -> Ended:
    found = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment({"PYTHONPATH": f"{path}:{ROOT}"}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ended(code=found.returncode, out=found.stdout, err=found.stderr)


@pytest.mark.parametrize(
    ("deed", "ending", "error"),
    [("segfaults", "ended with signal SIGSEGV", "WorkerDied"), ("hangs", "gave no answer within 3 s", "RowHung")],
)
def test_the_job_goes_on_with_samples_that_come_along_and_the_next_run_compares_its_rows(
    folder: Folder, sound: Path, tmp_path: Path, deed: str, ending: str, error: str
) -> None:
    (tmp_path / "hurt").mkdir()
    (tmp_path / "hurt/sitecustomize.py").write_text(_HURT)
    put_table(folder, "in/a.parquet", pa.table({"text": [*TEXTS[:5], deed, *TEXTS[5:10]]}))
    end = run(folder, sound, path=str(tmp_path / "hurt"))
    assert end.code == 0, end.err
    assert end.err.count(f"supervised reason=(the job's process {ending})") == 1
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "samples that come along"
    errors = {row["_row"]: row["error"]["class"] for row in read_output(folder).to_pylist() if row["error"]}
    assert errors == {5: error}

    put_table(folder, "in/b.parquet", pa.table({"text": TEXTS[10:20]}))
    end = run(folder, sound)
    assert end.code == 0, end.err
    assert read_json(folder, "out/_tandem/parity.json")["parity"]["rows_of"] == "input"
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "input"


def test_a_process_that_was_killed_before_it_had_a_row_in_hand_says_nothing_of_the_rows(
    folder: Folder, sound: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_KILLED.replace("MODULE", "models.transformer"))
    put_table(folder, "in/a.parquet", pa.table({"text": TEXTS[:10]}))
    end = run(folder, sound, path=str(tmp_path))
    assert end.code == 0, end.err
    assert end.err.count("supervised reason=(the job's process ended with signal SIGKILL)") == 1
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "input"


@pytest.mark.parametrize("module", ["models.rnn", "openvino._pyopenvino"])
def test_nor_does_one_that_was_killed_while_it_loaded_the_reference_or_then_the_variant(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A job that leaves its variant open loads the reference first, and weighs rows before it loads the variant."""
    monkeypatch.setenv("TANDEM_MEASURED", str(tmp_path / "measured"))
    model = made("vowels-bilstm", "openvino", "fp32")
    digest = describe_model(str(model)).variants["openvino-fp32"].digest
    remember("speed", digest, 100.0)
    remember("loading", digest, 1e-6)
    (tmp_path / "sitecustomize.py").write_text(_KILLED.replace("MODULE", module))
    put_table(folder, "in/a.parquet", pa.table({"sequence": rows_of("vowels-bilstm", 30) * 100}))
    end = run(folder, model, "--runtime", "auto", path=str(tmp_path))
    assert end.code == 0, end.err
    assert end.err.count("supervised reason=(the job's process ended with signal SIGKILL)") == 1
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "input"


def test_from_python_a_supervised_job_shows_no_row_to_a_model_in_the_callers_process(
    folder: Folder, sound: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HURT)
    put_table(folder, "in/a.parquet", pa.table({"text": [*TEXTS[:5], "segfaults", *TEXTS[5:10]]}))
    job = {"model": str(sound), "input": folder.url + "in/", "output": folder.url + "out/", "precision": "int8"}
    code = f"""
from batch.run import run_job
if __name__ == "__main__":
    print(run_job({job!r}, supervised=True)["errors"])
"""
    (tmp_path / "caller.py").write_text(code)
    end = python(str(tmp_path / "caller.py"), path=str(tmp_path))
    assert (end.code, end.out) == (0, "{'WorkerDied': 1}\n"), end.err
    assert read_json(folder, "out/_tandem/manifest.json")["parity"]["rows_of"] == "samples that come along"
