"""The command line: what it shows, what it refuses, and what it does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch.cli.commands import COMMANDS
from batch.progress import BarProgress
from batch.run import run_job
from batch.spec import JobSpec

ROOT = Path(__file__).parents[2]
DATA = ROOT / "models/zoo/data/vowels.parquet"
JOB = ("--model", "vowels-bilstm", "--input", str(DATA), "--column", "sequence=steps")


def tandem(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "batch.cli.main", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['tandem', '--help']\n"
        "from batch.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pyarrow', 'pydantic', 'boto3', 'torch'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert all(f"  {name}" in found for name in COMMANDS)
    assert found.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert "Usage: tandem" in tandem(command, "--help").stdout


def test_every_setting_of_a_job_is_a_flag() -> None:
    shown = tandem("run", "--help").stdout
    assert [name for name in JobSpec.model_fields if f"--{name.replace('_', '-')} " not in shown] == []


def test_schema_prints_the_schema_of_a_job_file() -> None:
    assert json.loads(tandem("schema").stdout) == JobSpec.model_json_schema()


@pytest.mark.parametrize("words", [("schema",), ("--help",), ("run", *JOB, "--workers", "1")])
def test_a_reader_who_leaves_changes_nothing_of_how_a_command_ends(words: tuple[str, ...], tmp_path: Path) -> None:
    """As `tandem run ... | head -1` in a shell."""
    if words[0] == "run":
        words = (*words, "--output", str(tmp_path / "out"))
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "batch.cli.main", *words]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (ended.returncode, "Traceback" in ended.stderr, "BrokenPipe" in ended.stderr) == (0, False, False)
    assert words[0] != "run" or (tmp_path / "out/_SUCCESS").exists()


def test_flags_win_over_the_job_file(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        f"model: nothing\ninput: {DATA}\noutput: {tmp_path / 'out'}\ncolumn: {{sequence: steps}}\nlimit: 7\n"
    )
    assert tandem("run", str(job), "--model", "vowels-bilstm", "--limit", "5").stdout.startswith("5 rows in 1 part")


def test_plan_writes_nothing_and_says_what_a_run_would_skip(tmp_path: Path) -> None:
    out = ("--output", str(tmp_path / "out"))
    before = tandem("plan", *JOB, *out).stdout
    assert "370 rows" in before
    assert "0 are committed" in before
    assert not (tmp_path / "out").exists()
    tandem("run", *JOB, *out)
    assert "1 is committed and would be skipped (370 rows)" in tandem("plan", *JOB, *out).stdout


def test_head_of_a_part_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    tandem("run", *JOB, "--output", str(tmp_path / "out"))
    (part,) = (tmp_path / "out").glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:2000])
    said = tandem("head", str(tmp_path / "out"), code=2).stderr
    assert f"{part.name} is not readable as Parquet" in said
    assert said.count("\n") == 1


def test_status_and_head_show_what_the_run_left(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert tandem("run", *JOB, "--output", out, "--label", "speaker").stdout.count("accuracy") == 1
    found = json.loads(tandem("status", out, "--json").stdout)
    assert (found["shards_done"], found["output_rows"], found["finished"]) == (1, 370, True)
    assert found["quality"]["accuracy"] > 0.95
    assert "370 of 370 input rows" in tandem("status", out).stdout
    first = pq.read_table(next(Path(out).glob("part-*.parquet"))).column("label")[0].as_py()
    shown = tandem("head", out, "-n", "1", "--columns", "_row,label").stdout
    assert first in shown
    assert "speaker" in shown


def test_labels_of_another_vocabulary_are_pointed_out(tmp_path: Path) -> None:
    said = tandem("run", *JOB, "--output", str(tmp_path / "out"), "--label", "id", "--limit", "5").stdout
    assert "no true label is one that the model predicts" in said


def test_a_package_that_hides_tandems_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-c", "from batch.cli.main import main; main()"]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "another package named models" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_bar_comes_to_its_end_where_a_filter_leaves_rows_out(tmp_path: Path) -> None:
    with BarProgress() as bar:
        job = {"model": "vowels-bilstm", "input": str(DATA), "output": str(tmp_path / "out"), "where": "id < 9"}
        manifest = run_job({**job, "column": {"sequence": "steps"}}, progress=bar)
    task = bar.bar.tasks[0]
    assert manifest["rows"] == 9
    assert task.total == task.completed == 370


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("frobnicate",), 2, "No such command 'frobnicate'"),
        (("run",), 2, "model is missing"),
        (("run", "--limit", "x"), 2, "not a valid integer"),
        (("run", "nowhere.yaml"), 2, "nowhere.yaml: cannot be read"),
        (("run", *JOB, "--output", str(DATA)), 2, "output must not be the input itself"),
        (("run", "--model", "m", "--input", "i", "--output", "o", "--column", "text"), 2, "text=body, found text."),
        (("status", "nowhere"), 2, "no job has begun here"),
        (("head", "nowhere"), 2, "no job has begun here"),
        (("zoo", "fetch", "nope"), 2, "there are minilm, efficientnet-lite0"),
        (("model", "show", "nope"), 3, "No model 'nope'"),
        (("model", "check", "nope:Model"), 3, "looked in the module nope"),
        (("model", "add", "nowhere/at/all", "--name", "x"), 3, "No model 'nowhere/at/all'"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(arguments: tuple[str, ...], code: int, says: str) -> None:
    lines = tandem(*arguments, code=code).stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("tandem: ")
    assert says in lines[0]
