"""Parquet out of a store: a footer in one request, row groups in few large ones, and always of one version.

What is fetched ahead is bounded: a row group that is larger than the bound is fetched column by column, each a little
ahead of its reader.
"""

import io
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import InputChanged, InputNotFound, UnreadableParquet
from batch.stores.storage import ObjectInfo, Store
from models.claims.footer import FalseClaim, check_chunks, check_kinds, check_schema
from models.claims.pages import PageWatch

MIB = 1024 * 1024
_TAIL_BYTES = 64 * 1024
_MAX_GAP_BYTES = 1 * MIB
_MAX_REQUEST_BYTES = 16 * MIB
_MIN_REQUEST_BYTES = 64 * 1024
_THREADS = 4
#: What may be fetched, or under way, and not yet read.
AHEAD_BYTES = 32 * MIB
#: A reader that waits so long for what was asked for ahead of it has a distant store: more is asked for.
SLOW_S = 0.02
#: pyarrow reads a column chunk in pieces of so many bytes, or a page where that is larger: not the chunk whole.
BUFFER_BYTES = 128 * 1024

Range = tuple[int, int]


def read_footer(store: Store, info: ObjectInfo) -> pq.FileMetaData:
    """The footer of one version of an object, by one request, or by two where it is longer than 64 KiB.

    Raises:
        UnreadableParquet: empty, truncated, encrypted, no Parquet, or one that claims what cannot be.
        InputChanged: the object is no longer the one that was listed.
        InputNotFound: it is gone.
    """
    url, size = store.url_of(info.key), info.size_bytes
    if size == 0:
        raise UnreadableParquet(url, "it is empty (0 bytes)")
    tail = store.read(info.key, etag=info.etag, start=max(0, size - _TAIL_BYTES), stop=size)
    magic = tail[-4:]
    if magic == b"PARE":
        raise UnreadableParquet(url, "its footer is encrypted")
    if magic != b"PAR1" or size < 12:
        raise UnreadableParquet(url, f"it ends with {magic!r}, not b'PAR1': truncated, or no Parquet file")
    footer_bytes = int.from_bytes(tail[-8:-4], "little") + 8
    if footer_bytes + 4 > size:
        raise UnreadableParquet(url, f"its footer claims {footer_bytes:,} bytes and the object has {size:,}")
    if footer_bytes > len(tail):
        tail = store.read(info.key, etag=info.etag, start=size - footer_bytes, stop=size)
    try:
        check_schema(tail[-footer_bytes:-8])
        footer = pq.read_metadata(pa.BufferReader(b"PAR1" + tail[-footer_bytes:]))
        check_kinds(tail[-footer_bytes:-8], footer.schema)
        check_chunks(footer, end=size - footer_bytes)
    except FalseClaim as error:
        raise UnreadableParquet(url, str(error)) from None
    except (pa.ArrowException, OSError, ValueError) as error:  # a name that is no UTF-8 is a ValueError
        raise UnreadableParquet(url, f"its footer is damaged ({_first_line(error)})") from error
    return footer


def column_ranges(
    footer: pq.FileMetaData, row_groups: Iterable[int], columns: Iterable[str] | None = None
) -> list[Range]:
    """Where the column chunks lie, as (start, stop) in order of start; a nested column brings its leaves."""
    leaves = wanted_leaves(footer, columns)
    ranges = []
    for row_group in row_groups:
        group = footer.row_group(row_group)
        for leaf in leaves:
            chunk = group.column(leaf)
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            ranges.append((start, start + chunk.total_compressed_size))
    return sorted(ranges)


def wanted_leaves(footer: pq.FileMetaData, columns: Iterable[str] | None) -> list[int]:
    """The column chunks of a row group that hold these columns; None means all."""
    wanted = None if columns is None else tuple(columns)
    paths = [footer.schema.column(leaf).path for leaf in range(footer.num_columns)]
    return [
        leaf
        for leaf, path in enumerate(paths)
        if wanted is None or any(path == name or path.startswith(f"{name}.") for name in wanted)
    ]


def coalesce_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The requests that fetch these ranges: gaps up to 1 MiB are fetched along, and none is over 16 MiB."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if merged and start - merged[-1][1] <= _MAX_GAP_BYTES:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return [
        (cut, min(cut + _MAX_REQUEST_BYTES, stop))
        for start, stop in merged
        for cut in range(start, stop, _MAX_REQUEST_BYTES)
    ]


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    """A range that is fetched piece by piece: where the next request begins, where the last ends."""

    at: int
    stop: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Fetch:
    """One request under way, and how many of its bytes are still to be handed out."""

    start: int
    stop: int
    unread_bytes: int
    body: Future[bytes]
    stream: _Stream | None = None


class PinnedFile:
    """One version of an object as a file, for `pq.ParquetFile(PinnedFile(store, info), metadata=footer)`.

    Every read is of the version that was listed, or raises InputChanged. What `prefetch` asked for is served from
    memory once and then let go; anything else costs a request of its own. pyarrow reads under a lock of its own, so
    the position needs none.

    Attributes:
        ahead_bytes: what `prefetch` may hold; grows up to `most_ahead_bytes` while the reader has to wait for it.
        watch: is shown everything that is read before pyarrow gets it, and may refuse it.
    """

    def __init__(
        self, store: Store, info: ObjectInfo, *, ahead_bytes: int = AHEAD_BYTES, most_ahead_bytes: int = 0
    ) -> None:
        self._store = store
        self._info = info
        self._position = 0
        self._fetches: list[_Fetch] = []
        self._pool: ThreadPoolExecutor | None = None
        self.ahead_bytes = ahead_bytes
        self._most_ahead_bytes = max(most_ahead_bytes, ahead_bytes)
        self._streams = 0
        self._is_first = True
        self.watch: PageWatch | None = None
        self.closed = False

    def prefetch(self, ranges: Sequence[Range]) -> None:
        """Begin to fetch these ranges with four threads; costs their memory until each has been read once.

        Ranges that are more than `ahead_bytes` together are each fetched in pieces, two of them at a time: whoever
        reads every one of them from its start finds the next piece there or under way.
        """
        size = self._info.size_bytes
        wanted = [(start, min(stop, size)) for start, stop in ranges if start < min(stop, size)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="prefetch")
        if sum(stop - start for start, stop in wanted) <= self.ahead_bytes:
            for start, stop in coalesce_ranges(wanted):
                unread = sum(max(0, min(stop, last) - max(start, first)) for first, last in wanted)
                self._fetch(start, stop, unread_bytes=unread)
            return
        self._streams = len(wanted)
        streams = [_Stream(at=start, stop=stop) for start, stop in wanted]
        for _ in range(2):
            for stream in streams:
                self._fetch_on(stream)

    def _fetch(self, start: int, stop: int, *, unread_bytes: int, stream: _Stream | None = None) -> None:
        assert self._pool is not None
        body = self._pool.submit(self._request, start, stop)
        self._fetches.append(_Fetch(start=start, stop=stop, unread_bytes=unread_bytes, body=body, stream=stream))

    def _fetch_on(self, stream: _Stream) -> None:
        """Begin the stream's next request, if there is one."""
        request_bytes = min(max(self.ahead_bytes // (2 * self._streams), _MIN_REQUEST_BYTES), _MAX_REQUEST_BYTES)
        start, stop = stream.at, min(stream.at + request_bytes, stream.stop)
        if start < stop:
            stream.at = stop
            self._fetch(start, stop, unread_bytes=stop - start, stream=stream)

    def read(self, size: int = -1) -> bytes:
        start = self._position
        stop = self._info.size_bytes if size is None or size < 0 else min(start + size, self._info.size_bytes)
        if stop <= start:
            return b""
        body = self._read_fetched(start, stop)
        if body is None:
            body = self._request(start, stop)
        self._position = stop
        if self.watch is not None:
            try:
                self.watch.see(start, body)
            except FalseClaim as error:
                raise UnreadableParquet(self._store.url_of(self._info.key), str(error)) from None
        return body

    def _read_fetched(self, start: int, stop: int) -> bytes | None:
        """The bytes out of what was fetched, or None where some were not asked for."""
        pieces: list[bytes] = []
        used: list[tuple[_Fetch, int]] = []
        at = start
        while at < stop:
            fetch = next((fetch for fetch in self._fetches if fetch.start <= at < fetch.stop), None)
            if fetch is None and used and used[-1][0].stream is not None:  # a page larger than two pieces
                self._fetch_on(used[-1][0].stream)
                fetch = next((fetch for fetch in self._fetches if fetch.start <= at < fetch.stop), None)
            if fetch is None:
                return None
            until = min(stop, fetch.stop)
            pieces.append(self._await(fetch)[at - fetch.start : until - fetch.start])
            used.append((fetch, until - at))
            at = until
        for fetch, count in used:
            fetch.unread_bytes -= count
            if fetch.unread_bytes <= 0:
                self._fetches.remove(fetch)
                if fetch.stream is not None:
                    self._fetch_on(fetch.stream)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _await(self, fetch: _Fetch) -> bytes:
        """What was fetched; where the reader waits for it, other than the first, more is fetched from now on."""
        started = time.perf_counter()
        body = fetch.body.result()
        if not self._is_first and time.perf_counter() - started > SLOW_S:
            self.ahead_bytes = min(2 * self.ahead_bytes, self._most_ahead_bytes)
        self._is_first = False
        return body

    def _request(self, start: int, stop: int) -> bytes:
        try:
            body = self._store.read(self._info.key, etag=self._info.etag, start=start, stop=stop)
        except InputNotFound:
            gone = "nothing: it was deleted"
            raise InputChanged(self._store.url_of(self._info.key), expected=self._info.etag, found=gone) from None
        if len(body) != stop - start:
            url = self._store.url_of(self._info.key)
            raise UnreadableParquet(url, f"{len(body):,} of {stop - start:,} bytes came from byte {start:,} on")
        return body

    @property
    def held_bytes(self) -> int:
        """What is fetched or being fetched and not yet let go."""
        return sum(fetch.stop - fetch.start for fetch in self._fetches)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._info.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._info.size_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is ever written; pyarrow calls it."""

    def close(self) -> None:
        """Let everything go; requests not yet begun are not made."""
        self.closed = True
        self._fetches.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
