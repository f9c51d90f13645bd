"""One object in S3, with the server's own credentials: so only below what the operator lists."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from service.door.fetch.errors import FetchUnreadable

if TYPE_CHECKING:
    from service.door.fetch.prefix import Place


class Opened:
    """An object of which nothing has been read; whoever has it reads it or closes it.

    Attributes:
        size: of all of it, in bytes.
    """

    def __init__(self, body: Any, *, size: int) -> None:
        self._body, self.size = body, size

    def read(self) -> bytes:
        """All of it, and close it. Blocking.

        Raises:
            FetchUnreadable: it does not come.
        """
        from botocore.exceptions import BotoCoreError, HTTPClientError

        try:
            return bytes(self._body.read())
        except (BotoCoreError, HTTPClientError, OSError):
            raise FetchUnreadable("the object store did not give it") from None
        finally:
            self.close()

    def close(self) -> None:
        self._body.close()


class Bucket:
    """Objects in S3; boto3 is imported, and its client made, when the first is read. Blocking: for a thread."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._client: Any = None

    def open(self, place: Place, limit_bytes: int) -> Opened:
        """One object, of which nothing has been read but its size.

        Raises:
            FetchUnreadable: it is not there, not readable, or larger than `limit_bytes` for all that is said.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            found = self.client().get_object(Bucket=place.host, Key=place.path.removeprefix("/"))
        except (Boto3Error, BotoCoreError, ClientError, HTTPClientError, OSError):
            raise FetchUnreadable("the object store did not give it") from None
        opened = Opened(found["Body"], size=int(found.get("ContentLength", limit_bytes + 1)))
        if opened.size > limit_bytes:
            opened.close()
            raise FetchUnreadable(f"it is larger than {limit_bytes // (1024 * 1024)} MiB")
        return opened

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
