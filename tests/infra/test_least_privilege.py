"""What a job's role may do, tried by a client that has nothing but that role, with moto's IAM switched on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from batch.errors import AccessDenied
from batch.stores.s3_store import MIB, S3Store
from batch.stores.storage import list_sources
from tests.infra.conftest import REGION, Stack, as_job_role

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ELSEWHERE = "another-bucket"
KEYS = [
    "input/day=1/a.parquet",
    "models/news/tandem.yaml",
    "output/run/part-a.parquet",
    "output/run/_tandem/job.json",
    "output/run/_SUCCESS",
    "output/_tandem/job.json",
    "output/_SUCCESS",
    "private/a.parquet",
    "input-of-others/a.parquet",
]


@pytest.fixture(scope="module")
def job(stack: Stack) -> Iterator["S3Client"]:
    """An S3 client with the job's role, in a bucket that holds KEYS, beside another bucket."""
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=ELSEWHERE, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=ELSEWHERE, Key="input/a.parquet", Body=b"theirs")
    for key in KEYS:
        s3.put_object(Bucket=stack.outputs["BucketName"], Key=key, Body=b"ours")
    with as_job_role(stack):
        yield boto3.Session().client("s3")


def refused(call: Callable[..., Any], **arguments: Any) -> str | None:
    """Return the code with which a call was refused; None where it was allowed."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


@pytest.mark.parametrize("key", KEYS[:5])
def test_a_job_reads_rows_models_and_its_own_output(stack: Stack, job: "S3Client", key: str) -> None:
    bucket = stack.outputs["BucketName"]
    assert job.get_object(Bucket=bucket, Key=key)["Body"].read() == b"ours"
    assert job.head_object(Bucket=bucket, Key=key)["ContentLength"] == 4


def test_a_job_lists_its_bucket_and_no_other(stack: Stack, job: "S3Client") -> None:
    listed = job.list_objects_v2(Bucket=stack.outputs["BucketName"], Prefix="input/")
    assert [found["Key"] for found in listed["Contents"]] == ["input/day=1/a.parquet"]
    assert refused(job.list_objects_v2, Bucket=ELSEWHERE) == "AccessDenied"


@pytest.mark.parametrize("key", ["output/run/part-b.parquet", "output/run/_tandem/plan-0.json", "output/run2/_SUCCESS"])
def test_a_job_writes_its_output_once(stack: Stack, job: "S3Client", key: str) -> None:
    bucket = stack.outputs["BucketName"]
    job.put_object(Bucket=bucket, Key=key, Body=b"written", IfNoneMatch="*")
    assert refused(job.put_object, Bucket=bucket, Key=key, Body=b"again", IfNoneMatch="*") == "PreconditionFailed"


def test_a_job_writes_a_large_part_and_gives_one_up(stack: Stack, job: "S3Client") -> None:
    bucket, key = stack.outputs["BucketName"], "output/run/part-large.parquet"
    upload = job.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = job.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"rows")
    job.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
        IfNoneMatch="*",
    )
    given_up = job.create_multipart_upload(Bucket=bucket, Key=f"{key}.2")["UploadId"]
    job.abort_multipart_upload(Bucket=bucket, Key=f"{key}.2", UploadId=given_up)
    assert job.head_object(Bucket=bucket, Key=key)["ContentLength"] == 4
    assert refused(job.head_object, Bucket=bucket, Key=f"{key}.2") == "404"


@pytest.mark.parametrize(
    ("bucket", "key"),
    [(None, "private/a.parquet"), (None, "input-of-others/a.parquet"), (ELSEWHERE, "input/a.parquet")],
)
def test_a_job_reads_nothing_else(stack: Stack, job: "S3Client", bucket: str | None, key: str) -> None:
    assert refused(job.get_object, Bucket=bucket or stack.outputs["BucketName"], Key=key) == "AccessDenied"


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        (None, "input/day=1/a.parquet"),
        (None, "input/new.parquet"),
        (None, "models/news/tandem.yaml"),
        (None, "output-of-others/part-a.parquet"),
        (ELSEWHERE, "output/part-a.parquet"),
    ],
)
def test_a_job_writes_nowhere_else(stack: Stack, job: "S3Client", bucket: str | None, key: str) -> None:
    bucket = bucket or stack.outputs["BucketName"]
    assert refused(job.put_object, Bucket=bucket, Key=key, Body=b"x") == "AccessDenied"
    assert refused(job.create_multipart_upload, Bucket=bucket, Key=key) == "AccessDenied"


@pytest.mark.parametrize("key", ["input/day=1/a.parquet", "models/news/tandem.yaml", "output/run/part-a.parquet"])
def test_a_job_deletes_neither_rows_nor_models_nor_committed_parts(stack: Stack, job: "S3Client", key: str) -> None:
    assert refused(job.delete_object, Bucket=stack.outputs["BucketName"], Key=key) == "AccessDenied"


@pytest.mark.parametrize("folder", ["output/", "output/run/"])
def test_a_job_takes_its_own_markers_away(stack: Stack, job: "S3Client", folder: str) -> None:
    bucket = stack.outputs["BucketName"]
    for key in (f"{folder}_SUCCESS", f"{folder}_tandem/job.json"):
        job.put_object(Bucket=bucket, Key=key, Body=b"ours")
        job.delete_object(Bucket=bucket, Key=key)
        assert refused(job.head_object, Bucket=bucket, Key=key) == "404"


def test_the_jobs_own_store_needs_no_more(stack: Stack, job: "S3Client", tmp_path: Path) -> None:
    """Every verb of the store, a part in several pieces and a write that loses included."""
    bucket = stack.outputs["BucketName"]
    store = S3Store(bucket, "output/night/", multipart_threshold_bytes=5 * MIB, part_size_bytes=5 * MIB)
    assert store.head("_tandem/job.json") is None
    assert store.put_if_absent("_tandem/job.json", b"one", attempt="a")
    assert not store.put_if_absent("_tandem/job.json", b"two", attempt="b")
    large = tmp_path / "part.parquet"
    large.write_bytes(bytes(6 * MIB))
    assert store.put_if_absent("part-1.parquet", large, attempt="a")
    assert not store.put_if_absent("part-1.parquet", large, attempt="b")
    found = store.head("_tandem/job.json")
    assert found is not None
    assert store.put_if_match("_tandem/job.json", b"three", etag=found.etag, attempt="a")
    assert store.read("_tandem/job.json") == b"three"
    assert store.put_if_absent("_SUCCESS", b"", attempt="a")
    store.delete("_SUCCESS")
    dead = job.create_multipart_upload(Bucket=bucket, Key="output/night/part-1.parquet")["UploadId"]
    assert dead
    assert store.abort_uploads({"part-1.parquet"}) == 1
    assert [info.key for info in store.list()] == ["_tandem/job.json", "part-1.parquet"]
    rows = list_sources(f"s3://{bucket}/input/").store
    assert rows.read("day=1/a.parquet") == b"ours"


def test_what_the_role_may_not_is_told_as_such(stack: Stack, job: "S3Client") -> None:
    store = S3Store(stack.outputs["BucketName"])
    with pytest.raises(AccessDenied, match=r"private/a\.parquet") as denied:
        store.read("private/a.parquet")
    assert denied.value.exit_code == 77
    with pytest.raises(AccessDenied, match=r"part-a\.parquet"):
        store.delete("output/run/part-a.parquet")


def test_a_job_changes_nothing_about_its_bucket(stack: Stack, job: "S3Client") -> None:
    bucket = stack.outputs["BucketName"]
    assert refused(job.delete_bucket_policy, Bucket=bucket) == "AccessDenied"
    assert refused(job.delete_bucket, Bucket=bucket) == "AccessDenied"
    assert refused(job.put_object_acl, Bucket=bucket, Key="output/run/part-a.parquet", ACL="public-read") == (
        "AccessDenied"
    )
