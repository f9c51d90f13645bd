"""What people get wrong: one line says what, where and what to do, and the exit code is the one that was designed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch.command import ROOT, Command, Ended, assert_refused, job, tandem
from tests.batch.places import (
    WORD_COUNT,
    Folder,
    parquet_bytes,
    part_keys,
    put_table,
    read_output,
    texts,
)

GOOD = parquet_bytes(texts(2000), row_group_size=500)
FOOTER = int.from_bytes(GOOD[-8:-4], "little") + 8
DAMAGED = {
    "truncated": (GOOD[:-100], "truncated, or no Parquet file"),
    "zero bytes": (b"", "it is empty (0 bytes)"),
    "text": (b"id,text\n1,hello world\n", "truncated, or no Parquet file"),
    "without its middle": (GOOD[:200] + GOOD[-1200:], "is not readable as Parquet"),
    "with a footer of zeros": (GOOD[:-FOOTER] + bytes(60) + GOOD[60 - FOOTER :], "its footer is damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_file_that_is_no_parquet_is_named_before_anything_is_written(
    folder: Folder, command: Command, case: str
) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    body, reason = DAMAGED[case]
    folder.put("in/b.parquet", body)
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/b.parquet", reason)
    assert not (folder.folder / "out").exists(), "a refused job leaves something behind"
    folder.delete("in/b.parquet")
    assert command(*job(folder)).code == 0


@pytest.mark.parametrize("at", [10, 100, 400, 2000])
def test_a_file_damaged_behind_its_footer_is_named_and_what_is_committed_stays(
    folder: Folder, command: Command, at: int
) -> None:
    put_table(folder, "in/p=0/a.parquet", texts(3))
    folder.put("in/p=1/b.parquet", GOOD[:at] + bytes(150) + GOOD[at + 150 :])
    end = command(*job(folder))
    assert_refused(end, 2, f"{folder.url}in/p=1/b.parquet is not readable as Parquet")
    assert len(part_keys(folder)) == 1


def test_the_real_command_says_one_line_too(folder: Folder) -> None:
    folder.put("in/b.parquet", b"PAR1PAR1")
    assert_refused(tandem(*job(folder)), 2, f"{folder.url}in/b.parquet is not readable as Parquet")


def test_no_input_is_named(folder: Folder, command: Command) -> None:
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/ was not found: no object is there")
    folder.put("in/_hidden.parquet", GOOD)
    assert_refused(command(*job(folder)), 2, "all that is there: 1 file (names that begin with '_' or '.' are hidden)")
    assert_refused(command(*job(folder, source="in/x*.parquet")), 2, "x*.parquet was not found: no object is there")
    assert "out/_tandem/job.json" not in folder.etags()


@pytest.mark.parametrize("column", [pa.nulls(3), pa.nulls(3, pa.string())], ids=["null", "string"])
def test_rows_of_nulls_are_error_rows_and_the_job_is_done(folder: Folder, command: Command, column: pa.Array) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": column}))
    end = command(*job(folder))
    assert (end.code, end.err) == (0, "")
    assert "NullValue: 3 rows" in end.out
    found = read_output(folder)
    assert found["label"].to_pylist() == [None] * 3
    assert {error["class"] for error in found["error"].to_pylist()} == {"NullValue"}


SCHEMAS = {
    "another type": (texts(3).drop_columns("text").append_column("text", pa.array([1, 2, 3])), (), "text as int64"),
    "missing": (texts(3).drop_columns("text"), (), "lacks text (string); its columns are: id (int64)"),
    "mapped to none": (texts(3), ("--column", "text=body"), "lacks body (string)"),
    "no such input": (texts(3), ("--column", "words=text"), "Write --column text=text"),
    "half a mapping": (texts(3), ("--column", "text"), "expected MODEL_COLUMN=SOURCE_COLUMN"),
    "kept and missing": (texts(3), ("--keep", "id,body"), "lacks body (asked for by --keep)"),
    "labels missing": (texts(3), ("--label", "y"), "lacks y (asked for by --label)"),
    "labels of lists": (texts(3, y=[[1]] * 3), ("--label", "y"), "has y as list<element: int64>"),
    "filtered and missing": (texts(3), ("--where", "lang = 'en'"), "lacks lang (asked for by --where)"),
    "a filter of another type": (texts(3), ("--where", "id = 'en'"), "its types do not go together"),
    "no filter": (texts(3), ("--where", "id = = 3"), "is no SQL condition"),
    "half a filter": (texts(3), ("--where", "id IN (SELECT 1)"), "Understood are"),
    "two columns of a name": (
        pa.table([pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "text", "text"]),
        (),
        "more than one column named 'text'",
    ),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_columns_that_do_not_fit_are_named_and_the_mended_command_runs(
    folder: Folder, command: Command, case: str
) -> None:
    table, flags, reason = SCHEMAS[case]
    put_table(folder, "in/a.parquet", table)
    assert_refused(command(*job(folder, *flags)), 2, reason)
    put_table(folder, "in/a.parquet", texts(3))
    assert command(*job(folder)).code == 0


def test_objects_whose_columns_clash_are_named(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    put_table(folder, "in/b.parquet", texts(3).set_column(0, "id", pa.array(["x", "y", "z"])))
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/b.parquet has id as string instead of int64")
    put_table(folder, "in/b.parquet", pa.table({"id": [0.5], "text": ["a"]}))
    put_table(folder, "in/a.parquet", pa.table({"id": [2**53 + 1], "text": ["a"]}))
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/a.parquet has id as int64 instead of double")


SETTINGS = {
    "no YAML": ("model: [", "is not YAML"),
    "no mapping": ("- model\n", "expected settings such as 'model: minilm', found list"),
    "empty": ("", "expected settings such as 'model: minilm', found NoneType"),
    "unknown setting": ("model: m\ninput: a\noutput: b\nmodle: m\n", "modle is no setting; there are: model, input"),
    "wrong type": ("model: m\ninput: a\noutput: b\nlimit: many\n", "limit: Input should be a valid integer"),
    "out of range": ("model: m\ninput: a\noutput: b\nmax_error_rate: 2\n", "max_error_rate: Input should be less than"),
    "missing": ("model: m\n", "input is missing; name it as --input or in the job file; output is missing"),
    "output is input": ("model: m\ninput: s3://b/a\noutput: s3://b/a/\n", "output must not be the input itself"),
    "not UTF-8": (b"model: \xff\xfe", "is not YAML"),
    "a number for a name": ("model: 3\ninput: a\noutput: b\n", "model: Input should be a valid string, found 3"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_job_file_at_fault_is_named_with_its_setting(tmp_path: Path, command: Command, case: str) -> None:
    content, reason = SETTINGS[case]
    path = tmp_path / "job.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(command("run", str(path)), 2, f"{path}: ", reason)


def test_flags_at_fault_are_named(tmp_path: Path, command: Command) -> None:
    assert_refused(command("run", str(tmp_path / "none.yaml")), 2, "none.yaml: cannot be read (No such file")
    assert_refused(command("run"), 2, "model is missing; name it as --model")
    assert_refused(command("run", "--runtime", "tensorrt"), 2, "'tensorrt' is not one of", "tandem run --help")
    assert_refused(command("run", "--limit", "x"), 2, "'x' is not a valid integer")
    assert_refused(command("run", "--nope"), 2, "No such option")
    assert_refused(command("rum"), 2, "No such command 'rum'")
    words = ("run", "--model", "m", "--input", "a", "--output", "b")
    assert_refused(command(*words, "--limit", "0"), 2, "limit: Input should be greater than or equal to 1")


def test_flags_win_over_the_file(folder: Folder, command: Command, tmp_path: Path) -> None:
    put_table(folder, "in/a.parquet", texts(9))
    path = tmp_path / "job.yaml"
    path.write_text(f"model: {WORD_COUNT}\ninput: {folder.url}in/\noutput: {folder.url}out/\nlimit: 5\nkeep: id\n")
    assert command("run", str(path), "--limit", "3").code == 0
    assert read_output(folder)["id"].to_pylist() == [0, 1, 2]


def test_places_at_fault_are_named(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    words = ("run", "--model", WORD_COUNT)
    assert_refused(command(*words, "--input", "https://x/y", "--output", "o"), 2, "'https://x/y' is no place")
    assert_refused(command(*words, "--input", "s3:///k", "--output", "o"), 2, "s3:///k names no bucket")
    folder.put("file", b"here")
    places = ("--input", folder.url + "in/", "--output")
    assert_refused(command(*words, *places, folder.url + "file"), 2, f"{folder.url}file", "Choose another place")


def test_an_output_that_another_program_uses_is_refused(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    for body in (b"{}", b"[]", b"not JSON", b"\xff"):
        folder.put("out/_tandem/job.json", body)
        assert_refused(command(*job(folder)), 2, f"{folder.url}out/_tandem/job.json is no record of a job")
    assert command(*job(folder, "--replace")).code == 0
    folder.put("out/_tandem/plan-0.json", b"{}")
    assert_refused(command(*job(folder)), 2, f"{folder.url}out/_tandem/plan-0.json is no plan that this version reads")
    assert command(*job(folder, "--replace")).code == 0
    (part,) = part_keys(folder)
    folder.put(part, GOOD)
    folder.delete("out/_SUCCESS")
    assert_refused(command(*job(folder)), 2, f"{folder.url}{part} is no part that this version reads")


def test_a_value_that_rotted_is_found_where_the_writer_left_checksums(folder: Folder, command: Command) -> None:
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    body = parquet_bytes(pa.table({"text": ["all is well"] * 9}), **options)
    fifth = b"all is well".join(body.split(b"all is well", 5)[:5])  # the first two are statistics
    folder.put("in/a.parquet", fifth + b"all is hell" + body[len(fifth) + 11 :])
    assert_refused(command(*job(folder)), 2, f"{folder.url}in/a.parquet is not readable as Parquet", "checksum")


def test_a_foreign_success_is_replaced_by_a_true_one(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    folder.put("out/_SUCCESS", b"")
    assert command(*job(folder)).code == 0
    assert json.loads(folder.get("out/_SUCCESS")) == {"plans": 1}


def test_models_at_fault_are_named(folder: Folder, command: Command, vowels: Path, tmp_path: Path) -> None:
    put_table(folder, "in/a.parquet", texts(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(tmp_path))
        assert_refused(command(*job(folder, model="nobody")), 3, "No model 'nobody'", "tandem model add")
    assert_refused(command(*job(folder, model="./nowhere")), 3, "No model './nowhere'", "looked in the folder")
    assert_refused(command(*job(folder, model="tests.nothing:Model")), 3, "the module tests.nothing on sys.path")
    assert_refused(command(*job(folder, model="tests.batch.own_models:Nothing")), 3, "which has no Nothing")
    assert_refused(command(*job(folder, model="tests.batch.places:Folder")), 3, "is not a subclass of")
    copy = tmp_path / "copy"
    shutil.copytree(vowels, copy)
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes()[:-1] + b"x")
    assert_refused(command(*job(folder, model=str(copy))), 3, "model.onnx has sha256", "recorded was")
    shutil.copy(vowels / "model.onnx", copy / "model.onnx")
    (copy / "weights.bin").write_bytes(b"")
    assert_refused(command(*job(folder, model=str(copy))), 3, "weights.bin is refused", "pickle")
    (copy / "weights.bin").unlink()
    (copy / "tandem.yaml").write_text("name: [")
    (copy / "digest.json").unlink()
    assert_refused(command(*job(folder, model=str(copy))), 3, f"{copy}/tandem.yaml: is not YAML")


def test_a_graph_that_is_none_is_named(folder: Folder, command: Command, unloadable: str) -> None:
    put_table(folder, "in/a.parquet", pa.table({"steps": [[[0.5] * 12] * 9]}))
    assert_refused(command(*job(folder, model=unloadable)), 3, "model.onnx")
    assert_refused(command(*job(folder, "--workers", "2", model=unloadable)), 3, "model.onnx")


def test_a_schema_is_refused_before_the_model_is_loaded(folder: Folder, command: Command, unloadable: str) -> None:
    put_table(folder, "in/a.parquet", pa.table({"steps": ["one", "two"]}))
    assert_refused(command(*job(folder, model=unloadable)), 2, "steps as string instead of list<number>")


def test_too_many_error_rows_end_with_4_until_more_are_allowed(folder: Folder, command: Command) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["a", None, "b", None, None]}))
    for _ in range(2):  # the second time every part is there, and the rate is what it was
        end = command(*job(folder, "--max-error-rate", "0.5"))
        assert_refused(end, 4, "3 of 5 rows are error rows, more than --max-error-rate 0.5 allows", "NullValue")
        assert "out/_SUCCESS" not in folder.etags()
        assert len(part_keys(folder)) == 1
    assert command(*job(folder, "--max-error-rate", "0.6")).code == 0
    assert_refused(command(*job(folder, "--max-error-rate", "0.5")), 4, "3 of 5 rows")


def test_a_job_of_error_rows_stops_at_the_shard_that_shows_it(folder: Folder, command: Command) -> None:
    for number in range(4):
        put_table(folder, f"in/p={number}/a.parquet", pa.table({"text": pa.nulls(200, pa.string())}))
    assert_refused(command(*job(folder, "--max-error-rate", "0.1")), 4, "200 of 200 rows", "NullValue")
    assert len(part_keys(folder)) == 1


def test_a_full_disk_is_worth_another_try(folder: Folder) -> None:
    table = texts(3000, ballast=[os.urandom(100).hex() for _ in range(3000)])
    put_table(folder, "in/a.parquet", table)
    words = [sys.executable, "-m", "batch.cli.main", *job(folder)]
    limited = ["bash", "-c", 'ulimit -f 100; exec "$@"', "bash", *words]
    process = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=60)
    end = Ended(code=process.returncode, out=process.stdout, err=process.stderr)
    assert_refused(end, 75, "cannot write a part in /", "File too large", "TMPDIR", "run the same command again")
    assert not part_keys(folder)
