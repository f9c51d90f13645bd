"""Objects in S3, or in a store that speaks S3, through boto3."""

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from batch.errors import ConditionIgnored, EncryptionRefused, InputChanged, StoreUnavailable, UsageError
from batch.stores.patience import PATIENCE_S, Patience
from batch.stores.s3_errors import S3_FAULTS, as_job_error, code_of, is_transient, status_of
from batch.stores.s3_multipart import upload_parts
from batch.stores.storage import ObjectHead, ObjectInfo
from models.s3_session import open_session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
_CONTESTED = (409, 412)

Answer = TypeVar("Answer")


class S3Store:
    """A bucket and a prefix; keeps the promises of `Store`.

    Every request is tried again within the bound of a Patience, and not by boto3, which counts tries: eight of them are
    over in three seconds where a server is being started again, and last four minutes where it hangs. A body that ends
    early is fetched again too; of a conditional write whose answer was lost it is found out whether it was applied.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        sse: str | None = None,
        sse_key_id: str | None = None,
        multipart_threshold_bytes: int = 64 * MIB,
        part_size_bytes: int = 16 * MIB,
        max_attempts: int | None = None,
        patience_s: float = PATIENCE_S,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        self._session: dict[str, str | None] = {"profile": profile, "region": region}
        self._endpoint_url = endpoint_url
        asked_for = {"ServerSideEncryption": sse, "SSEKMSKeyId": sse_key_id}
        self._encryption: dict[str, Any] = {name: value for name, value in asked_for.items() if value is not None}
        self._multipart_threshold_bytes = multipart_threshold_bytes
        self._part_size_bytes = part_size_bytes
        # boto3's own variable; where it says nothing, time alone is the bound: nothing is lost by patience.
        asked = os.environ.get("AWS_MAX_ATTEMPTS", "")
        attempts = max_attempts or (int(asked) if asked.isdecimal() and int(asked) else None)
        self._patience = Patience(seconds=patience_s, attempts=attempts)
        self._timeouts: dict[str, Any] = {"connect_timeout": connect_timeout_s, "read_timeout": read_timeout_s}
        self._made: S3Client | None = None
        self._making = threading.Lock()

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def url_of(self, key: str) -> str:
        return self.url + key

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found: list[ObjectInfo] = []
        asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        try:
            while True:
                page = self._ask(self._client.list_objects_v2, **asked)
                found += [
                    ObjectInfo(
                        key=entry["Key"].removeprefix(self._prefix),
                        size_bytes=entry["Size"],
                        etag=entry["ETag"].strip('"'),
                        modified=entry["LastModified"].timestamp(),
                    )
                    for entry in page.get("Contents", [])
                ]
                if not page.get("IsTruncated"):
                    break
                asked["ContinuationToken"] = page["NextContinuationToken"]
        except S3_FAULTS as error:
            raise as_job_error(error, "list", self.url_of(prefix)) from error
        # S3 lists in order of keys; SeaweedFS and S3 directory buckets in order of folders.
        yield from sorted(found, key=lambda info: info.key)

    def head(self, key: str) -> ObjectHead | None:
        try:
            answer = self._ask(self._client.head_object, Bucket=self._bucket, Key=self._prefix + key)
        except S3_FAULTS as error:
            if status_of(error) == 404:
                return None
            if status_of(error) in (400, 403):
                self._ask_why(key)
            if status_of(error) == 400:
                raise StoreUnavailable("read", self.url_of(key), "it answered HTTP 400 and gave no reason") from error
            raise as_job_error(error, "read", self.url_of(key)) from error
        return ObjectHead(
            size_bytes=answer["ContentLength"], etag=answer["ETag"].strip('"'), metadata=answer.get("Metadata", {})
        )

    def _ask_why(self, key: str) -> None:
        """Raise what a HEAD cannot say, having no body: a 400 may be an expired token, a 403 a wrong key or clock."""
        try:
            self._ask(self._client.list_objects_v2, Bucket=self._bucket, Prefix=self._prefix + key, MaxKeys=1)
        except S3_FAULTS as error:
            raise as_job_error(error, "read", self.url_of(key)) from error

    def read(self, key: str, *, etag: str | None = None, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Key": self._prefix + key}
        if etag is not None:
            wanted["IfMatch"] = f'"{etag}"'
        if start or stop is not None:
            wanted["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        reason: Exception | str = ""
        for _ in self._patience.tries():
            try:
                answer = self._ask(self._client.get_object, **wanted)
            except S3_FAULTS as error:
                if status_of(error) == 416:
                    return b""
                if status_of(error) == 412 and etag is not None:
                    raise InputChanged(self.url_of(key), expected=etag) from error
                raise as_job_error(error, "read", self.url_of(key)) from error
            try:  # what fails from here on is no request's fault
                body = answer["Body"].read()
            except (BotoCoreError, HTTPError, OSError) as error:
                reason = error
                continue
            if len(body) != answer["ContentLength"]:
                reason = f"its body ended after {len(body)} of {answer['ContentLength']} bytes"
                continue
            ranged = "Range" in wanted and answer["ResponseMetadata"]["HTTPStatusCode"] == 200
            return body[start:stop] if ranged else body  # 200: the server knows no ranges
        raise StoreUnavailable("read", self.url_of(key), str(reason).rstrip("."))

    def put_if_absent(
        self, key: str, body: bytes | Path, *, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        is_large = isinstance(body, Path) and body.stat().st_size > self._multipart_threshold_bytes
        mark = {"tandem-attempt": attempt}
        return self._put(key, body, {"IfNoneMatch": "*"}, mark=mark, metadata=metadata, multipart=is_large)

    def put_if_match(
        self, key: str, body: bytes | Path, *, etag: str, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        # One PUT whatever the size (S3 takes 5 GiB): moto and others ignore If-Match on a multipart Complete.
        mark = {"tandem-attempt": attempt, "tandem-replaces": etag}
        return self._put(key, body, {"IfMatch": f'"{etag}"'}, mark=mark, metadata=metadata, multipart=False)

    def complete_if_absent(self, key: str, body: bytes, *, attempt: str) -> bool:
        """`put_if_absent` by a multipart upload, however small the body: for the probe."""
        mark = {"tandem-attempt": attempt}
        return self._put(key, body, {"IfNoneMatch": "*"}, mark=mark, metadata=None, multipart=True)

    def check_encryption(self) -> None:
        """See that the store encrypts where it is asked to; where it is not asked, no request is made.

        Writes a key of its own, which only this ever writes: what lies there was asked to be encrypted.

        Raises:
            EncryptionRefused: the store says that it cannot, or takes the request and does not.
        """
        if (sse := self._encryption.get("ServerSideEncryption")) is None:
            return
        key = f"_tandem/probe-{sse.replace(':', '-')}"
        self.put_if_absent(key, b"Tandem asks the store to encrypt this.\n", attempt=uuid4().hex)
        try:
            there = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except S3_FAULTS as error:
            raise as_job_error(error, "read", self.url_of(key)) from error
        if (found := there.get("ServerSideEncryption")) != sse:
            said = f"with {found}" if found else "unencrypted"
            raise EncryptionRefused(self.url_of(key), sse, found=f"it was stored {said}")

    def _put(
        self,
        key: str,
        body: bytes | Path,
        condition: Mapping[str, str],
        *,
        mark: Mapping[str, str],
        metadata: Mapping[str, str] | None,
        multipart: bool,
    ) -> bool:
        """Write under a condition; whatever an unclear answer means, the mark on the object says whose it is."""
        url = self.url_of(key)
        reason = ""
        for _ in self._patience.tries():
            try:
                self._write(key, body, condition, {**(metadata or {}), **mark}, multipart=multipart)
                return True
            except S3_FAULTS as error:
                sse = self._encryption.get("ServerSideEncryption")
                if code_of(error) == "NotImplemented" and sse is None:
                    raise ConditionIgnored(url, "writes", found="it answered NotImplemented") from error
                fault = as_job_error(error, "write", url, sse=sse)
                is_contested = status_of(error) in _CONTESTED or code_of(error) in ("NoSuchUpload", "NoSuchKey")
                if not is_contested and not isinstance(fault, StoreUnavailable):
                    raise fault from error
                reason = f"{code_of(error)} again and again"
            there = self.head(key)
            if there is not None and mark.items() <= there.metadata.items():
                return True
            if _is_lost(there, condition):
                return False
            if not is_contested:
                raise fault
        raise StoreUnavailable("write", url, reason)

    def _write(
        self,
        key: str,
        body: bytes | Path,
        condition: Mapping[str, Any],
        metadata: Mapping[str, str],
        *,
        multipart: bool,
    ) -> None:
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": self._prefix + key}
        if multipart:
            size_bytes, settings = self._part_size_bytes, {**self._encryption, "Metadata": metadata}
            upload_parts(self._client, self._ask, place, body, condition, settings=settings, part_size_bytes=size_bytes)
        elif isinstance(body, Path):
            self._ask(self._put_file, body, **place, **condition, **self._encryption, Metadata=metadata)
        else:
            self._ask(self._client.put_object, **place, **condition, **self._encryption, Body=body, Metadata=metadata)

    def _put_file(self, path: Path, **words: Any) -> None:
        with path.open("rb") as file:  # anew for each try, from its start
            self._client.put_object(**words, Body=file)

    def abort_uploads(self, keys: Collection[str]) -> int:
        found: list[tuple[str, str]] = []
        asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix}
        try:
            while True:
                page = self._ask(self._client.list_multipart_uploads, **asked)
                found += [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", [])]
                if not page.get("IsTruncated"):
                    break
                asked |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
            ours = [(key, upload) for key, upload in found if key.removeprefix(self._prefix) in keys]
            for key, upload in ours:
                self._ask(self._client.abort_multipart_upload, Bucket=self._bucket, Key=key, UploadId=upload)
        except S3_FAULTS as error:
            raise as_job_error(error, "list", self.url) from error
        return len(ours)

    def delete(self, key: str, *, etag: str | None = None) -> None:
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag is not None else {}
        try:
            self._ask(self._client.delete_object, Bucket=self._bucket, Key=self._prefix + key, **condition)
        except S3_FAULTS as error:
            if status_of(error) in _CONTESTED:
                return
            raise as_job_error(error, "delete", self.url_of(key)) from error

    def _ask(self, request: Callable[..., Answer], *words: Any, **named: Any) -> Answer:
        """Make a request, again while it fails for no reason of its own; raise what it raised last."""
        failed: Exception | None = None
        for _ in self._patience.tries():
            try:
                return request(*words, **named)
            except S3_FAULTS as error:
                if not is_transient(error):
                    raise
                failed = error
        assert failed is not None
        raise failed

    def _hear(self, http_response: Any, **_: Any) -> None:
        """boto3 tells of every answer: one that is no fault of the store's says that it is there."""
        if http_response.status_code < 500 and http_response.status_code != 429:
            self._patience.answered()

    @property
    def _client(self) -> "S3Client":
        with self._making:
            if self._made is None:
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": 1},
                    max_pool_connections=32,
                    **self._timeouts,
                )
                try:
                    session = open_session(**self._session)
                    client = session.client("s3", endpoint_url=self._endpoint_url, config=config)
                except (BotoCoreError, ValueError) as error:
                    raise UsageError(f"cannot open {self.url}: {error}") from error
                client.meta.events.register("after-call.s3", self._hear)
                self._made = client
            return self._made

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_made", "_making")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _made=None, _making=threading.Lock())


def _is_lost(there: ObjectHead | None, condition: Mapping[str, str]) -> bool:
    """Whether what is there now, not being ours, means that another write was first."""
    if "IfNoneMatch" in condition:
        return there is not None
    return there is None or there.etag != condition["IfMatch"].strip('"')
