"""One object in S3, with the server's own credentials: so only below what the operator lists."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from service.door.fetch.errors import FetchUnreadable

if TYPE_CHECKING:
    from service.door.fetch.prefix import Place


class Bucket:
    """Objects in S3; boto3 is imported, and its client made, when the first is read. Blocking: for a thread."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: Any = None

    def get(self, place: Place, limit_bytes: int) -> bytes:
        """One object.

        Raises:
            FetchUnreadable: it is not there, not readable, or larger than `limit_bytes`.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            body = self.client().get_object(Bucket=place.host, Key=place.path.removeprefix("/"))["Body"]
            try:
                found: bytes = body.read(limit_bytes + 1)
            finally:
                body.close()
        except (Boto3Error, BotoCoreError, ClientError, HTTPClientError, OSError):
            raise FetchUnreadable("the object store did not give it") from None
        if len(found) > limit_bytes:
            raise FetchUnreadable(f"it is larger than {limit_bytes // (1024 * 1024)} MiB")
        return found

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        with self._lock:
            if self._client is None:
                config = Config(
                    connect_timeout=self._timeout_s, read_timeout=self._timeout_s, retries={"total_max_attempts": 2}
                )
                self._client = boto3.session.Session().client("s3", config=config)
            return self._client

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
