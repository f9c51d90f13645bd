"""--sse: every object of ours is asked to be encrypted, and a store that is not heard to do so gets no row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from batch.stores.s3_store import S3Store
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import WORD_COUNT, Bucket, part_keys, put_table, texts
from tests.fault_proxy import FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SSE, KEY_ID = "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"


NO_KMS = pytest.mark.moto("SeaweedFS by itself has no KMS and answers 500")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--sse", "AES256"), ("AES256", None)),
        pytest.param(("--sse", "aws:kms"), ("aws:kms", None), marks=NO_KMS),
        pytest.param(("--sse", "aws:kms", "--sse-key-id", "alias/data"), ("aws:kms", "alias/data"), marks=NO_KMS),
        ((), (None, None)),
    ],
)
def test_every_object_of_a_job_is_written_as_asked(
    s3_place: Bucket, s3_client: S3Client, proxy: FaultProxy, command: Command,
    flags: tuple[str, ...], expected: tuple[str | None, str | None],
) -> None:  # fmt: skip
    for number in range(2):
        put_table(s3_place, f"in/p={number}/a.parquet", texts(5))
    assert command(*job(s3_place, *flags, "--endpoint-url", proxy.url)).code == 0
    put_table(s3_place, "in/p=2/a.parquet", texts(5))
    assert command(*job(s3_place, *flags, "--endpoint-url", proxy.url)).code == 0
    writes = [seen for seen in proxy.requests("PUT") if "partNumber" not in seen.path]
    writes += [seen for seen in proxy.requests("POST") if seen.path.endswith("?uploads")]
    assert any("probe-complete" in seen.path for seen in writes)
    assert sum("/part-" in seen.path for seen in writes) == 3
    assert {(seen.headers.get(SSE), seen.headers.get(KEY_ID)) for seen in writes} == {expected}
    for key in s3_place.etags("out/"):
        head = s3_client.head_object(Bucket=s3_place.bucket, Key=key)
        assert head.get("ServerSideEncryption") == expected[0], key


def test_a_retry_encrypts_as_the_job_did_though_nobody_says_so(
    s3_place: Bucket, s3_client: S3Client, command: Command
) -> None:
    put_table(s3_place, "in/a.parquet", pa.table({"text": ["a b", None]}))
    assert command(*job(s3_place, "--sse", "AES256")).code == 0
    assert command("retry", f"{s3_place.url}out/", "--model", WORD_COUNT).code == 0
    for key in s3_place.etags("out/"):
        assert s3_client.head_object(Bucket=s3_place.bucket, Key=key).get("ServerSideEncryption") == "AES256", key


def test_an_upload_in_parts_is_encrypted_too(bucket: str, s3_client: S3Client, proxy: FaultProxy) -> None:
    store = S3Store(bucket, "out", endpoint_url=proxy.url, sse="AES256", multipart_threshold_bytes=0)
    assert store.put_if_absent("large", Path(__file__), attempt="one")
    (created,) = [seen for seen in proxy.requests("POST") if seen.path.endswith("?uploads")]
    assert created.headers[SSE] == "AES256"
    there = store.head("large")
    assert there is not None
    assert store.put_if_match("large", b"more", etag=there.etag, attempt="two")
    assert s3_client.head_object(Bucket=bucket, Key="out/large")["ServerSideEncryption"] == "AES256"


def test_a_store_that_passes_the_wish_over_is_refused_before_a_row_is_written(
    s3_place: Bucket, proxy: FaultProxy, command: Command
) -> None:
    put_table(s3_place, "in/a.parquet", texts(5))
    proxy.add(Rule(fault="strip", method="PUT", header=SSE, times=None))
    end = command(*job(s3_place, "--sse", "AES256", "--endpoint-url", proxy.url))
    # The header is signed, so a server that checks would refuse; moto does not, as a store that knows no encryption.
    assert_refused(end, 2, "does not encrypt as --sse AES256 asks: it was stored unencrypted")
    assert not part_keys(s3_place)
    assert "out/_tandem/job.json" not in s3_place.etags()


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "said"),
    [
        (501, "NotImplemented", 2, "does not encrypt as --sse aws:kms asks: it answered NotImplemented"),
        (400, "KMS.NotFoundException", 2, "does not encrypt as --sse aws:kms asks: it answered KMS.NotFoundException"),
        (400, "InvalidArgument", 2, "does not encrypt as --sse aws:kms asks: it answered InvalidArgument"),
        (403, "AccessDenied", 77, "kms:GenerateDataKey on the key"),
        (500, "InternalError", 75, "InternalError: on purpose (with --sse aws:kms)"),
    ],
)
def test_a_store_that_cannot_says_so_in_one_line(
    s3_place: Bucket, proxy: FaultProxy, command: Command, monkeypatch: pytest.MonkeyPatch,
    status: int, code: str, exit_code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    put_table(s3_place, "in/a.parquet", texts(5))
    proxy.add(Rule(fault="error", method="PUT", status=status, code=code, times=None))
    assert_refused(command(*job(s3_place, "--sse", "aws:kms", "--endpoint-url", proxy.url)), exit_code, said)


def test_settings_that_do_not_go_together_are_named(s3_place: Bucket, command: Command) -> None:
    words = ("run", "--model", "m", "--input", "in", "--output")
    assert_refused(command(*words, "out", "--sse", "AES256"), 2, "the output is no s3:// prefix (out)")
    assert_refused(command(*words, "s3://b/o", "--sse-key-id", "k"), 2, "it goes with sse: aws:kms")
    assert_refused(command(*words, "s3://b/o", "--sse", "rot13"), 2, "'rot13' is not one of")
