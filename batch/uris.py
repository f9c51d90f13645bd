"""Reading the objects that an image column names by URI: never more than the job's owner lets the data name.

Data come from others. What a row names is read with the job's credentials, and an error row quotes a little of what was
found, so a row may name only the input's own bucket or folder, and what `--allow-uri` adds.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch.errors import AccessDenied, InputNotFound, UsageError
from batch.spec import JobSpec
from batch.stores.storage import Store, open_store, split_source, split_url
from models.uris import UriRefused, path_of

MIB = 1 << 20
#: Larger objects are no pictures that a model is given, and several are read at once.
MOST_BYTES = 64 * MIB
#: S3's own bound on a key.
MOST_KEY_BYTES = 1024
#: After so many refusals by the store, and not one object read, it is the credentials' fault and not the rows'.
MOST_DENIED = 64


def uri_reader(job: JobSpec) -> UriReader:
    """What reads the URIs of a job's rows."""
    return UriReader(job.input, allow=job.allow_uri, **job.where_from)


class UriReader:
    """Reads `s3://bucket/key` and local paths below the allowed places; one client a bucket, shared by threads.

    Attributes:
        prefixes: `bucket/` or `bucket/prefix/` of S3 that may be read; "" is all of it.
        folders: local folders that may be read, links resolved.
    """

    def __init__(self, source: str, *, allow: Sequence[str] = (), **where: str | None) -> None:
        """Allow the bucket or folder of the input, and more.

        Args:
            source: the job's input.
            allow: `s3://bucket/prefix/`, `s3://` for any bucket, or local folders.
            where: endpoint_url, region and profile; by default as boto3 finds them.

        Raises:
            UsageError: one of them is no place.
        """
        self.where = where
        self.prefixes: list[str] = []
        self.folders: list[Path] = []
        self._allow(own_place(source))
        for place in allow:
            self._allow(place)
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()
        self._has_read, self._denied = False, 0

    def _allow(self, place: str) -> None:
        if place == "s3://":
            self.prefixes.append("")
            return
        scheme, path = split_url(place)
        if scheme == "s3":
            self.prefixes.append(path.rstrip("/") + "/")
        else:
            self.folders.append(Path(path).resolve())

    def __call__(self, uri: str) -> bytes:
        """The object's bytes.

        Raises:
            UriRefused: it lies outside the allowed places; the row is at fault.
            OSError, ValueError: there is no such object, it is too large, or the scheme is another; so is it here.
            JobError: the store does not answer, or knows our credentials no longer; the job is at fault.
        """
        if uri.startswith("s3://"):
            return self._read_object(uri)
        if "://" in uri and not uri.startswith("file://"):
            raise UriRefused(f"expected s3:// or a local path; {uri.partition('://')[0][:20]}:// is never read")
        return self._read_file(path_of(uri) if uri.startswith("file://") else uri)

    def _read_object(self, uri: str) -> bytes:
        path = uri.removeprefix("s3://")
        bucket, _, key = path.partition("/")
        if not key or len(key.encode()) > MOST_KEY_BYTES:
            raise ValueError("expected s3://bucket/key with a key of 1 to 1,024 bytes")
        if {".", ".."} & set(key.split("/")):
            raise UriRefused("a key with '.' or '..' as a folder is never read: some stores would follow it")
        if not any(path.startswith(prefix) for prefix in self.prefixes):
            raise UriRefused(f"it lies outside {self._said()}; --allow-uri s3://{bucket}/ would let it in")
        try:
            body = self._store(bucket).read(key, stop=MOST_BYTES + 1)
        except InputNotFound as error:
            raise FileNotFoundError(str(error)) from None
        except AccessDenied as error:
            self._count_denied(error)
            raise PermissionError(str(error)) from None
        except UsageError as error:  # the store's answer to this object alone
            raise OSError(str(error)) from None
        self._has_read = True
        return not_too_large(body)

    def _store(self, bucket: str) -> Store:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = open_store(f"s3://{bucket}/", **self.where)
            return self._stores[bucket]

    def _count_denied(self, error: AccessDenied) -> None:
        """Let a single forbidden object be its row's fault.

        Raises:
            AccessDenied: it is about the credentials themselves, or nothing at all may be read with them.
        """
        with self._lock:
            self._denied += 1
            if error.is_about_credentials or (self._denied >= MOST_DENIED and not self._has_read):
                raise error

    def _read_file(self, path: str) -> bytes:
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(folder) for folder in self.folders):
            raise UriRefused(f"it lies outside {self._said()}; --allow-uri FOLDER would let it in")
        # Not blocking: to open a pipe waits for who writes into it.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no file")
            return not_too_large(file.read(MOST_BYTES + 1))

    def _said(self) -> str:
        places = [f"s3://{prefix}" for prefix in self.prefixes] + [f"{folder}/" for folder in self.folders]
        return " and ".join(places)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_stores")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _stores={})


def own_place(source: str) -> str:
    """What rows may name without being asked about: the input's bucket, or its folder."""
    scheme, path = split_url(source)
    return f"s3://{path.partition('/')[0]}/" if scheme == "s3" else split_source(source)[0]


def not_too_large(body: bytes) -> bytes:
    if len(body) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // MIB} MiB, which no picture may be")
    return body
