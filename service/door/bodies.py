"""Bodies: how large one may be, how large all of them together, how slowly one may come, and what it unpacks to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from service.door.decompress import Decompressor, find_encoding
from service.door.errors import BodiesFull, BodyTooLarge, BodyTooSlow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message, Receive, Scope

    from service.door.settings import DoorSettings

#: A body that comes slower than this for a while is not waited for.
LEAST_BYTES_PER_S = 4096


class Bodies:
    """The bodies of all requests of one server, as far as they have come."""

    def __init__(self, settings: DoorSettings) -> None:
        self.settings, self.held_bytes = settings, 0

    def open(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, *, limit_bytes: int | None) -> Body:
        """The body of one request, of which nothing has been read.

        Where it is packed, `scope` says afterwards that it is not: it comes unpacked.

        Raises:
            BodyTooLarge: it is announced as larger than it may be.
            EncodingUnknown: it is packed in a way that is not unpacked here.
            BodiesFull: there is no room for what is announced.
        """
        limit = self.settings.max_body_bytes if limit_bytes is None else limit_bytes
        announced = headers.get(b"content-length", b"0")
        size = int(announced) if announced.isdigit() and not is_stream(headers) else 0
        if size > limit:
            raise BodyTooLarge(limit)
        if self.held_bytes + size > self.settings.max_bodies_bytes:
            raise BodiesFull(self.settings.max_bodies_bytes)
        encoding = find_encoding(headers)
        if encoding:
            packed = (b"content-encoding", b"content-length")
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in packed]
        return Body(self, receive, limit, Decompressor(encoding, limit_bytes=limit) if encoding else None)


class Body:
    """One body. What of it has come counts until it is closed, for the application may hold it for as long.

    `receive` raises BodyTooLarge, BodyTooSlow, BodyBroken or BodiesFull where the body is not as it should be: a
    handler that reads it fails with that, and its caller is told.

    Attributes:
        held_bytes: what of it has come, and what was read for its rows.
    """

    def __init__(self, bodies: Bodies, receive: Receive, limit_bytes: int, unpack: Decompressor | None) -> None:
        self._bodies, self._receive, self._limit, self._unpack = bodies, receive, limit_bytes, unpack
        self.held_bytes, self._complete, self._is_stream = 0, False, False
        self._came, self._waited_s = 0, 0.0  # since its speed was last looked at

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        message = await (self._receive() if self._is_stream else self._receive_in_time())
        if message["type"] != "http.request":
            self._complete = True
            return message
        data: bytes = message.get("body", b"")
        self._complete = not message.get("more_body", False)
        if self._unpack is not None:
            data = self._unpack.feed(data, last=self._complete)
        (self.hold_among_all if self._is_stream else self.hold)(len(data))
        return {"type": "http.request", "body": data, "more_body": not self._complete}

    def let_go(self, size: int) -> None:
        """So many bytes of what has come are no longer held: a stream may be longer than a body."""
        self.held_bytes -= size
        self._bodies.held_bytes -= size

    def read_as_stream(self) -> None:
        """Whoever reads this body has rules of his own for senders who are slow, and for how much he keeps of it."""
        self._is_stream = True

    def close(self) -> None:
        """The request is over, and with it what it held."""
        self._bodies.held_bytes -= self.held_bytes
        self.held_bytes = 0

    def hold(self, size: int) -> None:
        """Count bytes that are kept for this request.

        Raises:
            BodyTooLarge, BodiesFull: they are too many.
        """
        if self.held_bytes + size > self._limit:
            raise BodyTooLarge(self._limit)
        if self._bodies.held_bytes + size > self._bodies.settings.max_bodies_bytes:
            raise BodiesFull(self._bodies.settings.max_bodies_bytes)
        self.held_bytes += size
        self._bodies.held_bytes += size

    def hold_among_all(self, size: int) -> None:
        """Count what may be more than a body, such as what one unpacks to: all of them together bound it.

        Raises:
            BodiesFull: it is too much.
        """
        if self._bodies.held_bytes + size > self._bodies.settings.max_bodies_bytes:
            raise BodiesFull(self._bodies.settings.max_bodies_bytes)
        self.held_bytes += size
        self._bodies.held_bytes += size

    async def _receive_in_time(self) -> Message:
        """The next message. Only the time in which the caller was waited for counts, not what the application takes."""
        over_s, now = self._bodies.settings.body_timeout_s, asyncio.get_running_loop().time
        message: Message | None
        while True:
            begun = now()
            try:
                async with asyncio.timeout(over_s - self._waited_s):
                    message = await self._receive()
                self._came += len(message.get("body", b""))
                self._waited_s += now() - begun
            except TimeoutError:
                message, self._waited_s = None, over_s
            if self._waited_s >= over_s:
                if self._came < LEAST_BYTES_PER_S * over_s and (message is None or message.get("more_body")):
                    raise BodyTooSlow(least_bytes_per_s=LEAST_BYTES_PER_S, over_s=over_s)
                self._came, self._waited_s = 0, 0.0
            if message is not None:
                return message


def is_stream(headers: Mapping[bytes, bytes]) -> bool:
    """Whether it is lines that are let go as they are answered: of them only what is held at once is bounded."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"application/x-ndjson"
