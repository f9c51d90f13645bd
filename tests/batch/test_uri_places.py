"""A column of URIs reads what the job's owner lets it, and nothing else of what the job itself could read."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import uris
from batch.errors import AccessDenied, UsageError
from batch.spec import make_job
from batch.uris import UriReader, uri_reader
from models.uris import UriRefused
from tests.batch.command import Command, assert_refused
from tests.batch.conftest import ZOO
from tests.batch.places import Folder, put_table, read_output
from tests.fault_proxy import FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def other_bucket(s3_client: S3Client, bucket: str) -> str:
    name = f"{bucket}-2"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An input folder with a picture, a secret beside it, and links from one to the other."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a b?c#d%20e.png").write_bytes(b"picture")
    (tmp_path / "in" / "a.parquet").write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    (tmp_path / "in" / "inner").symlink_to(tmp_path / "in" / "a b?c#d%20e.png")
    os.mkfifo(tmp_path / "in" / "pipe")
    return tmp_path


def test_files_below_the_input_are_read_by_path_and_uri(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = UriReader(f"{tree}/in/")
    assert read(f"{tree}/in/a b?c#d%20e.png") == b"picture"
    assert read(f"file://{tree}/in/a%20b?c#d%2520e.png") == b"picture"
    assert read(f"file://localhost{tree}/in/inner") == b"picture"
    monkeypatch.chdir(tree)
    assert read("in/deep/../inner") == b"picture"
    assert UriReader(f"{tree}/in/a.parquet")(f"{tree}/in/inner") == b"picture"
    assert UriReader(f"{tree}/in/*.parquet")(f"{tree}/in/inner") == b"picture"


@pytest.mark.parametrize(
    "uri",
    [
        "{tree}/secret",
        "{tree}/in/../secret",
        "{tree}/in/link",
        "{tree}/in/folder/secret",
        "file://{tree}/secret",
        "file://{tree}/in/%2e%2e/secret",
        "/etc/hostname",
        "/proc/self/environ",
        "s3://bucket/key",
        "http://169.254.169.254/latest/meta-data/",
        "https://localhost/",
        "ftp://host/file",
        "S3://bucket/key",
        "gopher://x",
    ],
)
def test_what_lies_outside_a_local_input_is_refused(tree: Path, uri: str) -> None:
    with pytest.raises(UriRefused, match=r"it lies outside|is never read"):
        UriReader(f"{tree}/in/")(uri.format(tree=tree))


@pytest.mark.parametrize("uri", ["{tree}/in/pipe", "{tree}/in", "{tree}/in/none", "{tree}/in/\0", "file://host/x", ""])
def test_what_is_no_file_is_its_rows_fault_and_nobody_waits_for_it(tree: Path, uri: str) -> None:
    with pytest.raises((OSError, ValueError)):
        UriReader(f"{tree}/in/")(uri.format(tree=tree))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://other/key",
        "s3://BUCKET/key",
        "s3://bucket2/key",
        "s3://bucket/../other/key",
        "s3://bucket/a/../../other/key",
        "s3://bucket/./key",
        "/etc/hostname",
        "file:///etc/hostname",
    ],
)
def test_what_lies_outside_the_inputs_bucket_is_refused_without_a_request(uri: str) -> None:
    with pytest.raises(UriRefused, match=r"it lies outside s3://bucket/|is never read"):
        UriReader("s3://bucket/in/", endpoint_url="http://127.0.0.1:9")(uri)


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(
    s3_client: S3Client, bucket: str, other_bucket: str
) -> None:
    for key in ("pictures/1", "pictures-secret/1"):
        s3_client.put_object(Bucket=other_bucket, Key=key, Body=key.encode())
    read = UriReader(f"s3://{bucket}/in/", allow=[f"s3://{other_bucket}/pictures"])
    assert read(f"s3://{other_bucket}/pictures/1") == b"pictures/1"
    with pytest.raises(UriRefused):
        read(f"s3://{other_bucket}/pictures-secret/1")
    assert UriReader("in", allow=["s3://"])(f"s3://{other_bucket}/pictures-secret/1") == b"pictures-secret/1"


@pytest.mark.parametrize("key", ["", "k" * 1025, "%2e%2e/key", "none"])
def test_a_key_that_no_object_has_is_its_rows_fault(bucket: str, key: str) -> None:
    with pytest.raises((OSError, ValueError)):
        UriReader(f"s3://{bucket}/in/")(f"s3://{bucket}/{key}")


def test_an_object_that_is_too_large_is_its_rows_fault(
    s3_client: S3Client, bucket: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uris, "MOST_BYTES", 6)
    s3_client.put_object(Bucket=bucket, Key="7", Body=b"7 bytes")
    with pytest.raises(ValueError, match="it is larger than"):
        UriReader(f"s3://{bucket}/in/")(f"s3://{bucket}/7")
    with pytest.raises(ValueError, match="it is larger than"):
        UriReader(f"{tree}/in/")(f"{tree}/in/inner")


def test_one_forbidden_object_is_its_rows_fault_and_credentials_are_the_jobs(
    s3_client: S3Client, bucket: str, proxy: FaultProxy
) -> None:
    s3_client.put_object(Bucket=bucket, Key="good", Body=b"good")
    proxy.add(Rule(fault="error", path="forbidden", status=403, code="AccessDenied", times=None))
    proxy.add(Rule(fault="error", path="expired", status=400, code="ExpiredToken", times=None))
    read = UriReader(f"s3://{bucket}/", endpoint_url=proxy.url)
    assert read(f"s3://{bucket}/good") == b"good"
    for _ in range(2 * uris.MOST_DENIED):
        with pytest.raises(PermissionError, match="not allowed to read"):
            read(f"s3://{bucket}/forbidden")
    with pytest.raises(AccessDenied, match="ExpiredToken"):
        read(f"s3://{bucket}/expired")


def test_where_nothing_may_be_read_the_job_ends(bucket: str, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", path="forbidden", status=403, code="AccessDenied", times=None))
    read = UriReader(f"s3://{bucket}/", endpoint_url=proxy.url)
    for _ in range(uris.MOST_DENIED - 1):
        with pytest.raises(PermissionError):
            read(f"s3://{bucket}/forbidden")
    with pytest.raises(AccessDenied, match="not allowed to read"):
        read(f"s3://{bucket}/forbidden")


@pytest.mark.parametrize("place", ["", "http://host/", "s3:///key", "s3://bucket/../x"])
def test_a_place_that_is_none_is_named(place: str, command: Command) -> None:
    words = ("run", "--model", "bbc-bert", "--input", "in", "--output", "out", "--allow-uri", place)
    end = command(*words)
    assert end.code == 2
    assert end.complaint


def test_a_reader_goes_to_another_process(tree: Path) -> None:
    read = uri_reader(make_job({"model": "m", "input": f"{tree}/in", "output": "out"}))
    assert pickle.loads(pickle.dumps(read))(f"{tree}/in/inner") == b"picture"
    with pytest.raises(UsageError):
        UriReader("in", allow=["http://x/"])


Answers = Callable[..., dict[int, str]]


def test_a_refused_row_says_so_and_the_others_are_answered(
    folder: Folder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    picture = pq.read_table(ZOO / "data" / "fashion.parquet")["image"][0].as_py()
    for key in ("in/pictures/1.png", "elsewhere/1.png"):
        folder.put(key, picture)
    uris_ = [f"{folder.url}in/pictures/1.png", f"{folder.url}elsewhere/1.png", "/etc/passwd", "http://10.0.0.1/a.png"]
    put_table(folder, "in/a.parquet", pa.table({"image": uris_}))
    words = ("run", "--model", "fashion-resnet", "--input", f"{folder.url}in/", "--keep", "image")
    assert command(*words, "--output", f"{folder.url}out/").code == 0
    rows = read_output(folder).to_pylist()
    assert rows[0]["error"] is None
    for row in rows[1:]:
        assert row["error"]["class"] == "RefusedUri"
        assert row["label"] is None
    assert "lies outside" in rows[1]["error"]["message"]
    assert "http:// is never read" in rows[3]["error"]["message"]
    let_in = ("--allow-uri", f"{folder.url}elsewhere/")
    assert command("retry", f"{folder.url}out/", *let_in).code == 0
    assert [row["error"] is None for row in read_output(folder).to_pylist()] == [True, True, False, False]
    more = ("--output", f"{folder.url}more/", "--allow-uri", f"{folder.url}elsewhere/")
    assert command(*words, *more).code == 0
    assert [row["error"] is None for row in read_output(folder, "more/").to_pylist()] == [True, True, False, False]


def test_the_job_file_takes_a_list_of_places(folder: Folder, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("model: bbc-bert\ninput: in\noutput: out\nallow_uri: [s3://a/, 'ftp://b']\n")
    assert_refused(command("run", str(path)), 2, "expected s3://bucket/prefix/, s3:// or a folder, found 'ftp://b'")
