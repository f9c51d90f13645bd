"""Packed bodies, unpacked no further than they may be, whatever the protocol."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from service.door.errors import BodyBroken, BodyTooLarge, EncodingUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
#: A body that unpacks to more than this many times its size is made to do harm, once it is beyond the first MiB.
MOST_TIMES = 200
FREE_BYTES = 1024 * 1024


def find_encoding(headers: Mapping[bytes, bytes]) -> str:
    """How a body is packed; empty for not at all.

    Raises:
        EncodingUnknown: in a way that is not unpacked here, or in several.
    """
    encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if encoding in {"", "identity"}:
        return ""
    if encoding not in WINDOW_BITS:
        raise EncodingUnknown(encoding)
    return encoding


class Decompressor:
    """Unpacks one body piece by piece; never holds more than `limit_bytes` and a byte."""

    def __init__(self, encoding: str, *, limit_bytes: int) -> None:
        self._encoding, self._limit = encoding, limit_bytes
        self._inner = zlib.decompressobj(WINDOW_BITS[encoding])
        self._taken = self._given = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The next piece.

        Raises:
            BodyTooLarge: it unpacks to more than the limit, or to many times its size.
            BodyBroken: it is not packed this way, ends early, or goes on after its end.
        """
        try:
            unpacked = self._inner.decompress(data, self._limit - self._given + 1)
        except zlib.error:
            raise BodyBroken(self._encoding, why="it does not unpack") from None
        self._taken, self._given = self._taken + len(data), self._given + len(unpacked)
        if self._given > self._limit or self._given > max(FREE_BYTES, MOST_TIMES * self._taken):
            raise BodyTooLarge(self._limit, unpacked=True)
        if self._inner.unused_data:
            raise BodyBroken(self._encoding, why="something follows its end")
        if last and self._taken and not self._inner.eof:
            raise BodyBroken(self._encoding, why="it ends early")
        return unpacked
