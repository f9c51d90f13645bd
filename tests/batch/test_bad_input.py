"""What people get wrong: one line says what, where and what to do, and the exit code is the one that was designed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pyarrow as pa
import pytest

from batch.cli.main import main
from batch.s3_store import S3Store
from models.artifact import record_digest
from tests.batch.command import ROOT, Ended, tandem
from tests.batch.places import (
    WORD_COUNT,
    Bucket,
    Folder,
    Place,
    parquet_bytes,
    part_keys,
    put_table,
    read_output,
    texts,
)
from tests.conftest import _MOTO
from tests.fault_proxy import FaultProxy, Rule

Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`tandem` in this process, which takes a tenth of the time; some tests below start the real one."""

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tandem", *words])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended(code=code, out=out, err=err)

    return run


def job(place: Place, *more: str, model: str = WORD_COUNT, source: str = "in/") -> tuple[str, ...]:
    places = ("--input", place.url + source, "--output", place.url + "out/")
    return ("run", "--model", model, *places, *more)


@pytest.fixture
def unloadable(vowels: Path, tmp_path: Path) -> str:
    """A model whose spec and digest are good and whose graph is none: who loads it gets exit code 3 or a traceback."""
    folder = tmp_path / "unloadable"
    shutil.copytree(vowels, folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    record_digest(folder)
    return str(folder)


def assert_refused(end: Ended, code: int, *parts: str) -> None:
    assert end.code == code, end.err
    assert end.out == ""
    for part in parts:
        assert part in end.complaint


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
    assert not part_keys(folder)
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
    assert_refused(command(*job(folder)), 2, "none of its 1 objects is named *.parquet or *.parq")
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
    assert_refused(end, 75, "/part.parquet: ", "File too large", "TMPDIR", "run the same command again")
    assert not part_keys(folder)


# From here on, what a store says.


def test_a_bucket_that_is_missing_is_named(s3_place: Bucket, command: Command, unloadable: str) -> None:
    put_table(s3_place, "in/a.parquet", pa.table({"steps": [[[0.5] * 12] * 9]}))
    words = ("run", "--model", unloadable, "--input")
    end = command(*words, "s3://no-such-bucket/in/", "--output", s3_place.url + "out/")
    assert_refused(end, 2, "s3://no-such-bucket/in/", "there is no bucket 'no-such-bucket'")
    end = command(*words, s3_place.url + "in/", "--output", "s3://no-such-bucket/out/")
    assert_refused(end, 2, "s3://no-such-bucket/out/", "there is no bucket 'no-such-bucket'")


def test_without_credentials_the_command_ends_with_77(s3_place: Bucket, unloadable: str, tmp_path: Path) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "HOME": str(tmp_path)}
    end = tandem(*job(s3_place, model=unloadable), **nothing)
    assert_refused(end, 77, f"{s3_place.url}", "no credentials", "AWS_ACCESS_KEY_ID")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """A moto server that enforces IAM, with a bucket `guarded` that has input: its url, and the keys of its users."""
    log = tmp_path_factory.mktemp("guarded") / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-c", _MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().strip().decode()}"
        anyone = boto3.Session(aws_access_key_id="any", aws_secret_access_key="one", region_name="us-east-1")
        s3, iam = anyone.client("s3", endpoint_url=url), anyone.client("iam", endpoint_url=url)
        s3.create_bucket(Bucket="guarded")
        s3.put_object(Bucket="guarded", Key="in/a.parquet", Body=parquet_bytes(pa.table({"steps": [[[0.5] * 12] * 9]})))
        users = {}
        for user, allowed in {"reader": ["s3:GetObject", "s3:ListBucket"], "nobody": ["sts:GetCallerIdentity"]}.items():
            iam.create_user(UserName=user)
            statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=user, PolicyName="its", PolicyDocument=document)
            key = iam.create_access_key(UserName=user)["AccessKey"]
            users[user] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        s3.close()
        iam.close()
        urlopen(
            Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST"),
            timeout=10,
        ).close()
        yield url, users
    finally:
        server.stdin.close()
        server.wait(timeout=20)
        server.stdout.close()


@pytest.mark.parametrize(
    ("user", "refused"),
    [
        ("reader", "not allowed to write s3://guarded/out/_tandem/"),
        ("nobody", "not allowed to read s3://guarded/out/_tandem/job.json"),
        ("stranger", "s3://guarded/out/_tandem/job.json"),
    ],
)
def test_who_may_not_is_told_what_before_the_model_is_loaded(
    guarded: tuple[str, dict[str, dict[str, str]]],
    command: Command,
    unloadable: str,
    monkeypatch: pytest.MonkeyPatch,
    s3: str,
    user: str,
    refused: str,
) -> None:
    url, users = guarded
    unknown = {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": "unknown"}
    for name, value in users.get(user, unknown).items():
        monkeypatch.setenv(name, value)
    words = ("--input", "s3://guarded/in/", "--output", "s3://guarded/out/", "--endpoint-url", url)
    assert_refused(command("run", "--model", unloadable, *words), 77, refused)


def test_a_store_that_is_down_is_worth_another_try(
    command: Command, unloadable: str, monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    defaults: dict[str, Any] = S3Store.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "max_attempts", 2)
    words = ("--input", "s3://b/in/", "--output", "s3://b/out/", "--endpoint-url", "http://127.0.0.1:9")
    end = command("run", "--model", unloadable, *words)
    assert_refused(end, 75, "s3://b/out/_tandem/job.json", "http://127.0.0.1:9", "run the same command again")


def test_a_store_that_ignores_conditions_is_named(s3_place: Bucket, proxy: FaultProxy, command: Command) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    proxy.add(Rule(fault="strip", method="PUT|POST", header="If-None-Match", times=None))
    end = command(*job(s3_place, "--endpoint-url", proxy.url))
    assert_refused(end, 2, "does not honour If-None-Match", f"{s3_place.url}out/_tandem/probe-")
    assert not [key for key in s3_place.etags("out/") if "probe" not in key]


def test_a_store_that_stumbles_is_borne_with(s3_place: Bucket, proxy: FaultProxy, command: Command) -> None:
    put_table(s3_place, "in/a.parquet", texts(30))
    proxy.add(Rule(fault="error", path="in/a.parquet", times=2))
    proxy.add(Rule(fault="lose_answer", method="PUT", path="/part-"))
    proxy.add(Rule(fault="error_after", method="PUT", path="/plan-0"))
    assert command(*job(s3_place, "--endpoint-url", proxy.url)).code == 0
    assert read_output(s3_place).num_rows == 30
