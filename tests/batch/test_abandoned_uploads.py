"""Multipart uploads that killed runs began are aborted by the run that finishes the job, and nobody else's are."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.run import run_job
from batch.stores.s3_store import S3Store
from batch.stores.storage import open_store
from batch.stores.sweep import sweep_uploads
from tests.batch.command import job, started
from tests.batch.places import WORD_COUNT, Bucket, Folder, part_keys, put_table, texts
from tests.fault_proxy import FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def run(place: Bucket, **settings: Any) -> None:
    run_job({"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/"} | settings)


def uploads(client: S3Client, bucket: str) -> set[str]:
    return {upload["Key"] for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])}


def test_what_a_killed_run_began_is_aborted_by_the_one_that_finishes(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    rule = proxy.add(Rule(fault="hold", method="PUT", path="probe-complete"))
    with started(*job(s3_place), AWS_ENDPOINT_URL=proxy.url) as process:
        rule.wait_until_held()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        rule.release(forward=False)
    assert uploads(s3_place.client, s3_place.bucket) == {"out/_tandem/probe-complete"}
    run(s3_place)
    assert uploads(s3_place.client, s3_place.bucket) == set()


def test_only_uploads_under_committed_keys_are_aborted(s3_place: Bucket) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    put_table(s3_place, "in/b.parquet", texts(10))
    run(s3_place, shard_mb=0.0001)
    part, later = part_keys(s3_place)
    for key in ("out/_SUCCESS", "out/_tandem/manifest.json", later):
        s3_place.delete(key)
    others = {"out/part-of-somebody-else.parquet", "out/below/part-1.parquet", "outer/x", "in/c.parquet"}
    for key in {part, later, *others}:
        s3_place.client.create_multipart_upload(Bucket=s3_place.bucket, Key=key)
    run(s3_place, shard_mb=0.0001)
    assert uploads(s3_place.client, s3_place.bucket) == others


def test_a_writer_whose_upload_was_aborted_has_lost_and_overwrites_nothing(
    s3_place: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "part").write_bytes(b"late" * 1000)
    late = S3Store(s3_place.bucket, "out", endpoint_url=proxy.url, multipart_threshold_bytes=0, max_attempts=2)
    store = S3Store(s3_place.bucket, "out")
    rule = proxy.add(Rule(fault="hold", method="POST", path="uploadId="))
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(late.put_if_absent, "part-1", tmp_path / "part", attempt="late")
        rule.wait_until_held()
        assert store.put_if_absent("part-1", b"first", attempt="first")
        assert sweep_uploads(store, {"part-1"}) == 1
        rule.release()
        assert putting.result(timeout=30) is False
    assert store.read("part-1") == b"first"


def test_a_job_whose_role_may_not_list_uploads_is_done_all_the_same(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    proxy.add(Rule(fault="error", path=r"\?uploads", method="GET", times=None, status=403, code="AccessDenied"))
    run(s3_place, endpoint_url=proxy.url)
    assert proxy.requests("GET", r"\?uploads")
    assert "out/_SUCCESS" in s3_place.etags()


def test_a_folder_has_no_uploads(folder: Folder) -> None:
    assert sweep_uploads(open_store(folder.url), {"part-1"}) == 0
