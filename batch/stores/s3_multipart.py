"""One object by a multipart upload that leaves nothing behind where it fails."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.stores.s3_errors import S3_FAULTS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_THREADS = 4
_MAX_PARTS = 10_000


def upload_parts(
    client: "S3Client",
    ask: Callable[..., Any],
    place: Mapping[str, Any],
    body: bytes | Path,
    condition: Mapping[str, Any],
    *,
    settings: Mapping[str, Any],
    part_size_bytes: int,
) -> None:
    """Upload `body` in parts; the object is there, whole, when the conditional Complete is answered, and not before.

    Costs memory for four parts. On any failure the upload is aborted, so that no parts are paid for; an abort that
    fails too is left to the bucket's lifecycle rule.

    Args:
        ask: makes a request of the client's, and makes it again where the store fails it.
        place: Bucket and Key.
        condition: of Complete: {"IfNoneMatch": "*"} or {"IfMatch": etag}.
        settings: of the upload: its metadata and how it is encrypted.
    """
    size_bytes = len(body) if isinstance(body, bytes) else body.stat().st_size
    part_size_bytes = max(part_size_bytes, -(-size_bytes // _MAX_PARTS))
    upload = {**place, "UploadId": ask(client.create_multipart_upload, **place, **settings)["UploadId"]}

    def upload_part(number: int) -> dict[str, Any]:
        start = (number - 1) * part_size_bytes
        chunk = _slice(body, start, part_size_bytes)
        answer = ask(client.upload_part, **upload, PartNumber=number, Body=chunk)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        checksums.pop("ChecksumType", None)
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    try:
        with _pool() as pool:
            parts: list[Any] = list(pool.map(upload_part, range(1, max(1, -(-size_bytes // part_size_bytes)) + 1)))
        ask(client.complete_multipart_upload, **upload, **condition, MultipartUpload={"Parts": parts})
    except BaseException:
        with contextlib.suppress(*S3_FAULTS):
            ask(client.abort_multipart_upload, **upload)
        raise


def _slice(body: bytes | Path, start: int, length: int) -> bytes:
    if isinstance(body, bytes):
        return body[start : start + length]
    with body.open("rb") as file:
        file.seek(start)
        return file.read(length)


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Four threads; what is not begun when a part fails is not begun any more."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="upload")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
