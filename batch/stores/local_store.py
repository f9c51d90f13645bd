"""Objects in a local folder: the same promises, kept by link(2), rename(2) and flock(2)."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from uuid import uuid4

from batch.errors import AccessDenied, ConditionIgnored, InputChanged, InputNotFound, StoreUnavailable, UsageError
from batch.stores.storage import ObjectHead, ObjectInfo

_TEMPORARY = "_tandem/.tmp"
_STALE_S = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class LocalStore:
    """A folder; keeps the promises of `Store`. An ETag is size-mtime-inode; there is no metadata.

    Bytes are written and synced under a hidden name in the same tree and then linked to their key: link(2) refuses
    where the key is taken, so no answer can be lost and no reader sees half an object. What a killed process leaves
    under the hidden name is removed a day later.
    """

    def __init__(self, folder: str | Path) -> None:
        self._root = Path(os.path.abspath(folder))
        self._written: dict[str, tuple[str, str]] = {}
        self._swept = False

    @property
    def url(self) -> str:
        return f"{self._root.as_posix().rstrip('/')}/"

    def url_of(self, key: str) -> str:
        return self.url + key

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = []
        with self._speaking("list", prefix):
            for path, key in _walk(self._root, "", set()):
                if key.startswith(prefix):
                    try:
                        stat = path.stat()
                    except FileNotFoundError:  # removed since, or a link to nothing
                        continue
                    found.append(ObjectInfo(key=key, size_bytes=stat.st_size, etag=_etag(stat), modified=stat.st_mtime))
        yield from sorted(found, key=lambda info: info.key)

    def head(self, key: str) -> ObjectHead | None:
        with self._speaking("read", key):
            try:
                path = self._path(key)
                if path.is_dir():
                    return None
                stat = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return ObjectHead(size_bytes=stat.st_size, etag=_etag(stat))

    def read(self, key: str, *, etag: str | None = None, start: int = 0, stop: int | None = None) -> bytes:
        with self._speaking("read", key):
            try:
                with self._path(key).open("rb") as file:
                    file.seek(start)
                    body = file.read() if stop is None else file.read(max(0, stop - start))
                    found = _etag(os.fstat(file.fileno()))  # after reading: a change meanwhile shows in the mtime
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise InputNotFound(self.url_of(key)) from None
        if etag is not None and found != etag:
            raise InputChanged(self.url_of(key), expected=etag, found=found)
        return body

    def put_if_absent(
        self, key: str, body: bytes | Path, *, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        with self._speaking("write", key), self._temporary(body) as temporary:
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(temporary, path)
            except FileExistsError:
                there = self.head(key)
                return there is not None and self._written.get(key) == (attempt, there.etag)
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise ConditionIgnored(
                        self.url_of(key), "link(2)", found=f"it answered {error.strerror}"
                    ) from error
                raise
            _sync_folder(path.parent)
            self._written[key] = (attempt, _etag(temporary.stat()))
            return True

    def put_if_match(
        self, key: str, body: bytes | Path, *, etag: str, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        with self._speaking("write", key), self._temporary(body) as temporary, self._locked():
            there = self.head(key)
            if there is None or there.etag != etag:
                return False
            os.replace(temporary, self._path(key))
            _sync_folder(self._path(key).parent)
            return True

    def delete(self, key: str, *, etag: str | None = None) -> None:
        with self._speaking("delete", key), self._locked():
            if etag is not None and ((there := self.head(key)) is None or there.etag != etag):
                return
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if ".." in key.split("/") or key.startswith("/"):
            raise UsageError(f"{key!r} leaves the folder {self.url}; keys are relative to it.")
        if "\0" in key:
            raise UsageError(f"{key!r} has a NUL character in it, which no file's name has.")
        return self._root / key

    @contextmanager
    def _temporary(self, body: bytes | Path) -> Iterator[Path]:
        """The body, synced, under a hidden name on the same file system; gone afterwards."""
        folder = self._root / _TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        self._sweep(folder)
        path = folder / uuid4().hex
        try:
            with path.open("xb") as file:
                if isinstance(body, Path):
                    with body.open("rb") as source:
                        copyfileobj(source, file, 1024 * 1024)
                else:
                    file.write(body)
                file.flush()
                os.fsync(file.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        if self._swept:
            return
        self._swept = True
        for path in folder.iterdir():
            try:
                if path.name != "lock" and path.stat().st_mtime < time.time() - _STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all processes; the kernel frees the lock of one that dies."""
        folder = self._root / _TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _speaking(self, operation: str, key: str) -> Iterator[None]:
        """Turn what the operating system says into errors of ours."""
        url = self.url_of(key)
        try:
            yield
        except PermissionError as error:
            advice = "Give this user access to it, or choose another folder."
            raise AccessDenied(operation, url, code=error.strerror or "permission denied", advice=advice) from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in _FULL:
                raise StoreUnavailable(operation, url, reason) from error
            raise UsageError(f"cannot {operation} {url}: {reason}. Choose another place.") from error


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}"


def _walk(folder: Path, prefix: str, above: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Every file below, links followed, but no folder inside itself."""
    try:
        stat = folder.stat()
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    if (here := (stat.st_dev, stat.st_ino)) in above:
        return
    for entry in entries:
        key = prefix + entry.name
        if key == _TEMPORARY:
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), key + "/", above | {here})
        else:
            yield Path(entry.path), key


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
