"""Where objects lie: what every store promises, and how a url becomes one.

Keys are relative to the store's root and written with "/". An ETag is opaque: it changes whenever the object does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batch.amounts import counted
from batch.errors import AccessDenied, InputNotFound, UsageError
from batch.stores.left_out import HIDDEN, OWNER, PARTS, LeftOut, find_parts, is_part_name
from batch.stores.source_names import WILDCARD, is_hidden, is_named
from models.uris import path_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One line of a listing; `modified` is when it was written, in seconds since 1970 by the store's own clock."""

    key: str
    size_bytes: int
    etag: str
    modified: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHead:
    """What a store says of one object; a local folder keeps no metadata."""

    size_bytes: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """A place for objects in which the first write counts.

    Every method raises AccessDenied where it may not, and StoreUnavailable where the store did not answer within the
    bound of retries. Threads may share a store; a forked process opens its own. A store can be pickled.
    """

    @property
    def url(self) -> str:
        """The root, ending in "/"."""
        ...

    def url_of(self, key: str) -> str:
        """The key's full url, for people and for `_source`."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, sorted by key; none where nothing is there.

        The listing is complete for objects written before it began. It costs one request a 1,000 objects, and memory
        for all of them.

        Raises:
            InputNotFound: there is no such bucket.
        """
        ...

    def head(self, key: str) -> ObjectHead | None:
        """What is known of the object, or None where there is none."""
        ...

    def read(self, key: str, *, etag: str | None = None, start: int = 0, stop: int | None = None) -> bytes:
        """The object's bytes from `start` to before `stop`, cut off at its end, all of one version.

        With `etag`, of that version. A short body, a reset, a time-out and a 5xx are retried, with jitter.

        Raises:
            InputChanged: the object is not of version `etag`.
            InputNotFound: there is no such object or bucket.
        """
        ...

    def put_if_absent(
        self, key: str, body: bytes | Path, *, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        """Write the object unless there is one; whole or not at all, and durable before it returns.

        True where the object that is now there is this attempt's, be it that an earlier try was applied and its answer
        lost. False where another attempt was first; its object is untouched. Of any number of attempts exactly one is
        told True. `attempt` names whoever asks, and must not be shared between two that write different bytes.

        Raises:
            InputNotFound: there is no such bucket.
            StoreUnavailable: not known to be written. Asking again with the same attempt is safe.
        """
        ...

    def put_if_match(
        self, key: str, body: bytes | Path, *, etag: str, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        """Replace version `etag` of the object; False, and nothing written, where it is another version or gone."""
        ...

    def delete(self, key: str, *, etag: str | None = None) -> None:
        """Remove the object, with `etag` only that version of it; nothing happens where there is none, or another.

        A store that does not know the condition removes whatever is there.
        """
        ...


def open_store(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    sse: str | None = None,
    sse_key_id: str | None = None,
) -> Store:
    """Open `s3://bucket/prefix/`, `file:///folder/` or a plain folder; no request is made and no folder created.

    Endpoint, region and credentials that are not given come the boto3 way. `sse` is the encryption that S3 is asked for
    with every object written, `AES256` or `aws:kms`, there with a key; a folder has none.

    Raises:
        UsageError: the url names neither.
    """
    scheme, path = split_url(url)
    if scheme == "s3":
        from batch.stores.s3_store import S3Store  # boto3 takes 0.2 s to import; a local job does without

        bucket, _, prefix = path.partition("/")
        return S3Store(
            bucket,
            prefix,
            endpoint_url=endpoint_url,
            region=region,
            profile=profile,
            sse=sse,
            sse_key_id=sse_key_id,
        )
    from batch.stores.local_store import LocalStore

    return LocalStore(path)


def split_url(url: str) -> tuple[str, str]:
    """("s3", "bucket/key") or ("file", "/local/path"); a trailing "/" stays.

    Raises:
        UsageError: another scheme, or no bucket.
    """
    if "\0" in url:
        raise UsageError(f"{url!r} has a NUL character in it, which no place has.")
    if url.startswith("s3://"):
        if not url.removeprefix("s3://").partition("/")[0]:
            raise UsageError(f"{url} names no bucket; expected s3://bucket/prefix/.")
        if {".", ".."} & set(url.split("/")):
            raise UsageError(f"{url} has '.' or '..' for a folder, which S3 does not follow; write the prefix itself.")
        return "s3", url.removeprefix("s3://")
    if url.startswith("file://"):
        try:
            return "file", path_of(url)
        except ValueError as error:
            raise UsageError(f"{url} is no local place: {error}.") from None
    if "://" in url or not url:
        raise UsageError(f"{url!r} is no place that can be read; expected s3://bucket/prefix/ or a local folder.")
    return "file", url


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies where an input url points, named like Parquet or not, sorted by key.

    Attributes:
        url: as it was given.
        store: that it lies in, rooted at the folder.
        objects: all of them.
        pattern: the glob, where it is one.
        is_object: the url names one object, whatever its name.
    """

    url: str
    store: Store
    objects: list[ObjectInfo]
    pattern: str | None = None
    is_object: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What an input means: objects of a store, sorted by key, and what beside them is left out."""

    store: Store
    objects: list[ObjectInfo]
    left_out: tuple[LeftOut, ...] = ()


def list_sources(
    url: str, *, endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Sources:
    """Open the store that `url` lies in and list the Parquet objects it names.

    A folder means every `*.parquet` and `*.parq` below it that is not hidden (source_names.py), without the parts of
    jobs whose outputs lie below it; a file means itself, whatever its name; a glob what it matches and is not hidden.

    Raises:
        InputNotFound: nothing there, or nothing that is named like Parquet.
    """
    return named_objects(list_all(url, endpoint_url=endpoint_url, region=region, profile=profile))


def list_all(
    url: str, *, endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Listing:
    """Open the store that `url` lies in and list what is there."""
    root, key, pattern = split_source(url)
    store = open_store(root, endpoint_url=endpoint_url, region=region, profile=profile)
    if key is not None:
        head = store.head(key)
        if head is not None:
            info = ObjectInfo(key=key, size_bytes=head.size_bytes, etag=head.etag)
            return Listing(url=url, store=store, objects=[info], is_object=True)
        store = open_store(store.url_of(key), endpoint_url=endpoint_url, region=region, profile=profile)
    listed = list(store.list(WILDCARD.split(pattern, maxsplit=1)[0] if pattern else ""))
    return Listing(url=url, store=store, objects=listed, pattern=pattern)


def named_objects(listing: Listing, *, beside: str = "") -> Sources:
    """Those that are input by their names; parts below the url `beside` are among them, for they are no other job's.

    Raises:
        InputNotFound: none is.
    """
    store, listed, pattern = listing.store, listing.objects, listing.pattern
    if listing.is_object:
        return Sources(store=store, objects=listed)
    named = [info for info in listed if is_named(info.key, pattern)]
    hidden = {info.key for info in named if is_hidden(info.key)}
    parts = set() if pattern else {*find_parts(with_late_owners(listing))} - hidden
    if beside:  # what lies there is no other job's
        parts = {key for key in parts if not store.url_of(key).startswith(beside)}
    left_out = tuple(
        LeftOut(why=why, files=len(keys), first=store.url_of(min(keys)))
        for why, keys in ((HIDDEN, hidden), (PARTS, parts))
        if keys
    )
    found = [info for info in named if info.key not in hidden and info.key not in parts]
    if not found:
        wanted = f"matches {pattern}" if pattern else "is named *.parquet or *.parq"
        reason = f"it has {counted(len(listed), 'object')}, and none {wanted}" if listed else "no object is there"
        if left_out:
            reason = f"all that is there: {' and '.join(map(str, left_out))}"
        advice = f"Name that output, or read it by a glob such as {listing.url.rstrip('/')}/**/part-*.parquet."
        raise InputNotFound(listing.url, reason, advice=advice if parts else "Check the name.")
    for info in found:
        check_name(store, info.key)
    return Sources(store=store, objects=found, left_out=left_out)


def with_late_owners(listing: Listing) -> list[str]:
    """The keys of a listing, and the records of jobs that began below it while it went on.

    A part lies there after its job's record; a listing that was past the record by then may still come to the part.
    """
    keys = [info.key for info in listing.objects]
    known = {*find_parts(keys)}
    if any(is_part_name(key) and "/" in key and key not in known for key in keys):
        keys += [info.key for info in listing.store.list() if info.key.endswith(OWNER)]
    return keys


def check_name(store: Store, key: str) -> None:
    """See that a file's name is text: Linux lets it be any bytes, and `_source` could not say it.

    Raises:
        UsageError: it is not.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{store.url_of(key)} has a name that is no UTF-8; rename it.") from None


def split_source(url: str) -> tuple[str, str | None, str | None]:
    """(root url, key, glob pattern) of an input url; key where it may be one object, pattern where it is a glob.

    Whether an s3 url without a trailing "/" is an object or a prefix only the store can say.
    """
    scheme, path = split_url(url)
    if scheme == "file":
        try:
            if Path(path).is_file():
                return str(Path(path).absolute().parent), Path(path).name, None
            if Path(path).is_dir():
                return path, None, None
        except PermissionError as error:
            advice = "Give this user access to it, or choose another folder."
            raise AccessDenied("read", url, code=error.strerror or "permission denied", advice=advice) from None
        except OSError as error:  # a name that is too long, such as a list of files
            raise InputNotFound(url[:200], error.strerror or str(error)) from None
    prefix = "s3://" if scheme == "s3" else ""
    if wildcard := WILDCARD.search(path):
        folder, slash, _ = path[: wildcard.start()].rpartition("/")
        if scheme == "s3" and not slash:
            raise UsageError(f"{url} has a wildcard in its bucket; expected s3://bucket/prefix/*.parquet.")
        return prefix + (folder + slash or "."), None, path[len(folder + slash) :]
    if scheme == "file" or "/" not in path or path.endswith("/"):
        return prefix + path, None, None
    folder, _, name = path.rpartition("/")
    return f"{prefix}{folder}/", name, None
