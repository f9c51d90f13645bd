"""`tandem model`: mistakes end in one line and the exit code that says what to do; stores are named by options."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import zoo
from models.artifact import record_digest
from models.errors import DigestMismatch, ModelError, ModelNotFound, ModelStoreUnavailable, SpecInvalid
from models.load import describe_model
from models.locate import zoo_folders
from models.store import push_model, remove_model
from tests.batch.command import Ended, tandem

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VOWELS = Path(zoo.__file__).parent / "vowels-bilstm"
#: Nothing listens there.
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store and cache of the test's own."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return tmp_path / "bentoml"


def complaint(end: Ended, code: int) -> str:
    """The one line on stderr."""
    assert end.code == code, end.err
    (line,) = end.err.splitlines()
    return line.removeprefix("tandem: ")


WRONG = [
    ({"profile": "nope"}, "profile (nope) could not be found"),
    ({"endpoint_url": "nonsense"}, "Invalid endpoint: nonsense"),
    ({"region": "not a region"}, "not a region"),
]


@pytest.mark.parametrize(("where", "why"), WRONG)
def test_settings_that_boto3_does_not_take_are_not_worth_another_try(s3: str, where: dict[str, str], why: str) -> None:
    for act in (
        lambda: describe_model("s3://bucket/m", **where),
        lambda: push_model(str(VOWELS), "s3://bucket/m", **where),
    ):
        with pytest.raises(ModelError) as error:
            act()
        assert type(error.value) is SpecInvalid
        assert error.value.exit_code == 3
        assert str(error.value).startswith("s3://bucket/m: the object store cannot be asked")
        assert why in str(error.value)
        assert "Check --endpoint-url, --region and --aws-profile" in str(error.value)


def test_a_run_with_an_unknown_profile_ends_in_one_line(tmp_path: Path) -> None:
    words = ("run", "--model", "s3://b/x", "--input", str(tmp_path), "--output", str(tmp_path / "out"))
    end = tandem(*words, "--aws-profile", "nope", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    assert "profile (nope) could not be found" in complaint(end, 3)


def test_a_bucket_named_as_none_can_be_is_not_worth_another_try(s3: str) -> None:
    with pytest.raises(SpecInvalid, match="Invalid bucket name"):
        describe_model("s3://no bucket/m")


def test_push_and_fetch_say_what_they_could_not_do(s3: str) -> None:
    with pytest.raises(ModelStoreUnavailable, match=r"s3://b/m: the model could not be pushed \(Could not connect"):
        push_model(str(VOWELS), "s3://b/m", endpoint_url=CLOSED)
    with pytest.raises(ModelStoreUnavailable, match=r"s3://b/m: the object store did not serve the model \(Could not"):
        describe_model("s3://b/m", endpoint_url=CLOSED)


def test_push_goes_to_the_endpoint_that_is_named(bucket: str, s3: str) -> None:
    where = ("--endpoint-url", s3, "--region", "us-east-1")
    url = f"s3://{bucket}/vowels"
    end = tandem("model", "push", "vowels-bilstm", url, *where, AWS_ENDPOINT_URL=CLOSED)
    assert end.code == 0, end.err
    assert describe_model(url, endpoint_url=s3).digest == describe_model("vowels-bilstm").digest


def test_a_file_changed_under_its_prefix_is_named_by_the_prefix(
    bucket: str, s3_client: S3Client, tmp_path: Path
) -> None:
    url = push_model(str(VOWELS), f"s3://{bucket}/m")
    s3_client.put_object(Bucket=bucket, Key="m/config.json", Body=b"{}")
    with pytest.raises(DigestMismatch, match=r"config\.json has sha256") as error:
        describe_model(url)
    assert str(error.value).startswith(f"{url}: ")
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_file_missing_under_its_prefix_is_named(bucket: str, s3_client: S3Client) -> None:
    url = push_model(str(VOWELS), f"s3://{bucket}/m")
    s3_client.delete_object(Bucket=bucket, Key="m/config.json")
    with pytest.raises(ModelNotFound, match=f"looked in {url}/config.json, which is not there"):
        describe_model(url)


def test_a_cache_that_cannot_be_written_is_named(bucket: str, tmp_path: Path) -> None:
    url = push_model(str(VOWELS), f"s3://{bucket}/m")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SpecInvalid, match=r"cannot be kept in .*cache/models \(Not a directory\).*TANDEM_CACHE"):
        describe_model(url)


@pytest.mark.parametrize("folder", zoo_folders(), ids=lambda folder: folder.name)
def test_a_model_of_the_zoo_cannot_be_removed(folder: Path) -> None:
    with pytest.raises(SpecInvalid, match=f"{folder.name}: comes with the package.* cannot be removed"):
        remove_model(folder.name)
    assert (folder / "tandem.yaml").is_file()


def check(*rows: str | Path) -> Ended:
    return tandem("model", "check", "vowels-bilstm", "--rows", *map(str, rows))


def test_sample_rows_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"no Parquet at all")
    assert "bad.parquet is not readable as Parquet" in complaint(check(bad), 2)
    (tmp_path / "empty").mkdir()
    assert "empty was not found: no object is there" in complaint(check(tmp_path / "empty"), 2)
    assert "none.parquet was not found" in complaint(check(tmp_path / "none.parquet"), 2)
    assert "was not found: File name too long" in complaint(check("a" * 300), 2)


def test_the_first_hundred_sample_rows_are_tried_across_row_groups(tmp_path: Path) -> None:
    from batch.cli.model import read_samples

    table = pa.table({"id": range(150), "text": [str(i) for i in range(150)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=40)
    assert read_samples(str(tmp_path / "a.parquet"), "text") == [str(i) for i in range(100)]


def test_a_cached_model_is_still_compared_with_its_record(bucket: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(VOWELS, tmp_path / "m"))
    url = push_model(str(folder), f"s3://{bucket}/m")
    assert describe_model(url).digest == record_digest(folder)
    cached = describe_model(url).folder
    assert cached is not None
    (cached / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch, match=cached.name):
        describe_model(url)
