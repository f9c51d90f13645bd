"""Reading the objects that an image column names by URI."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batch.errors import InputNotFound
from batch.stores.storage import Store, open_store


class UriReader:
    """Reads `s3://bucket/key` and local paths; one client a bucket, shared by the threads that read."""

    def __init__(
        self, *, endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
    ) -> None:
        self.where = {"endpoint_url": endpoint_url, "region": region, "profile": profile}
        self.stores: dict[str, Store] = {}
        self.lock = threading.Lock()

    def __call__(self, uri: str) -> bytes:
        """The object's bytes.

        Raises:
            OSError: there is no such object, or the scheme is another; the row is at fault.
            JobError: the store does not answer or refuses; the job is at fault.
        """
        if uri.startswith("s3://"):
            bucket, _, key = uri.removeprefix("s3://").partition("/")
            with self.lock:
                store = self.stores.get(bucket)
                if store is None:
                    store = self.stores[bucket] = open_store(f"s3://{bucket}/", **self.where)
            try:
                return store.read(key)
            except InputNotFound as error:
                raise FileNotFoundError(str(error)) from None
        if uri.startswith("file://"):
            return Path(unquote(urlsplit(uri).path)).read_bytes()
        if "://" in uri:
            raise OSError(f"expected s3:// or a local path, found {uri[:60]!r}")
        return Path(uri).read_bytes()
