"""Connections: how many are open, and how long one may keep a request to itself.

uvicorn waits for ever for headers, and for a reader of its answers, and takes as many connections as come: a few
thousand that say nothing would keep everybody else out. Here the room is bounded, and whoever is slowest to ask leaves
it first, so that a newcomer is served. Over TLS there is as much room again for those that still shake hands.
"""

from __future__ import annotations

import asyncio
import asyncio.constants
import asyncio.sslproto
import json
import logging
import resource
from typing import TYPE_CHECKING, Any, ClassVar

import uvicorn.config
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.door.bodies import LEAST_BYTES_PER_S

if TYPE_CHECKING:
    from service.door.settings import DoorSettings

log = logging.getLogger("bentoml.tandem")

#: Handles that the process needs for other things than connections: files of models, sockets of its own, pipes.
OTHER_HANDLES = 512


class Room:
    """The open connections of one server: those that have not yet asked, in the order in which they began to wait.

    A stream that is answered while its body still comes is among them, by when it last brought something.
    """

    def __init__(self, settings: DoorSettings) -> None:
        self.header_timeout_s, self.write_timeout_s = settings.header_timeout_s, settings.body_timeout_s
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        may_open = settings.max_connections if hard == resource.RLIM_INFINITY else max(hard - OTHER_HANDLES, 1)
        self.limit = min(settings.max_connections, may_open)
        self.asking: dict[GuardedConnection, None] = {}
        self.shaking: dict[GuardedConnection, asyncio.Transport] = {}
        self.evicted = self.turned_away = 0

    def make_place(self) -> bool:
        """Close the connection that has been asking for longest; whether there was one."""
        if (slowest := next(iter(self.asking), None)) is None:
            self.turned_away += 1
            return False
        del self.asking[slowest]
        self.evicted += 1
        slowest.transport.abort()
        return True

    def shake(self, connection: GuardedConnection, transport: asyncio.Transport) -> None:
        """A handshake begins; where there are too many, the one that has taken longest is broken off."""
        if len(self.shaking) >= self.limit:
            slowest = next(iter(self.shaking))
            self.shaking.pop(slowest).abort()
            self.evicted += 1
        self.shaking[connection] = transport


class GuardedConnection(H11Protocol):
    """One connection. Until the whole of a request is there it may be closed for others' sake."""

    room: ClassVar[Room]
    headers_timer: asyncio.TimerHandle | None = None
    write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.room.shaking.pop(self, None)
        super().connection_made(transport)
        if len(self.connections) > self.room.limit and not self.room.make_place():
            self.say(503, "Too many connections are open. Try again in 1 s.", "Retry-After: 1")
            return
        self.settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.asking.pop(self, None)
        self.stop_headers_timer()
        self.stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self.settle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self.settle()

    def settle(self) -> None:
        """Set the clock for headers where they are waited for, and say whether this connection could go."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self.stop_headers_timer()
        elif self.headers_timer is None and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.headers_timer = self.loop.call_later(self.room.header_timeout_s, self.headers_too_slow)
        if answering and not self.cycle.more_body:
            self.room.asking.pop(self, None)
        elif not self.transport.is_closing():
            if answering and self.cycle.response_started:  # a stream that is being answered, and has brought more
                self.room.asking.pop(self, None)
            self.room.asking.setdefault(self)

    def headers_too_slow(self) -> None:
        self.headers_timer = None
        self.say(408, f"The request's headers took longer than {self.room.header_timeout_s} s.")

    def send_400_response(self, msg: str) -> None:
        """Garbage: said once, in our form, also where it follows a good beginning."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.say(400, msg)

    def say(self, status: int, what: str, *headers: str) -> None:
        """Answer without the application, and close."""
        body = json.dumps({"error": what}).encode()
        lines = [f"HTTP/1.1 {status} ", "Content-Type: application/json", f"Content-Length: {len(body)}",
                 "X-Content-Type-Options: nosniff", "Cache-Control: no-store", "Connection: close"]  # fmt: skip
        self.transport.write("\r\n".join([*lines, *headers, "", ""]).encode() + body)
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False  # there are no web sockets here: such a request is one like any other

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.write_timer is None:
            self.watch_writing(None)

    def resume_writing(self) -> None:
        self.stop_write_timer()
        super().resume_writing()

    def watch_writing(self, before: int | None) -> None:
        """Give up a caller who hardly takes his answer: what he leaves lies in our memory."""
        left = self.transport.get_write_buffer_size()
        if before is not None and before - left < LEAST_BYTES_PER_S * self.room.write_timeout_s:
            self.transport.abort()
            return
        self.write_timer = self.loop.call_later(self.room.write_timeout_s, self.watch_writing, left)

    def stop_headers_timer(self) -> None:
        if self.headers_timer is not None:
            self.headers_timer.cancel()
            self.headers_timer = None

    def stop_write_timer(self) -> None:
        if self.write_timer is not None:
            self.write_timer.cancel()
            self.write_timer = None


class GuardedHandshake(asyncio.sslproto.SSLProtocol):
    """TLS of one connection; ours hears of it when the handshake is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app_protocol: Any, *others: Any, **named: Any) -> None:
        super().__init__(loop, app_protocol, *others, **named)
        self.guarded = app_protocol if isinstance(app_protocol, GuardedConnection) else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.guarded is not None:
            self.guarded.room.shake(self.guarded, transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.guarded is not None:
            self.guarded.room.shaking.pop(self.guarded, None)
        super().connection_lost(exc)


def guard_connections(settings: DoorSettings) -> None:
    """Have uvicorn, which BentoML starts without asking us, speak to its connections this way.

    BentoML names no protocol to uvicorn, so it looks `auto` up when it starts, after our module was imported.
    """
    # Over TLS our protocol begins after the handshake, for which asyncio waits a minute and uvicorn names no time.
    asyncio.constants.SSL_HANDSHAKE_TIMEOUT = float(settings.header_timeout_s)
    vars(asyncio.sslproto)["SSLProtocol"] = GuardedHandshake
    guarded: Any = type("GuardedConnection", (GuardedConnection,), {"room": Room(settings)})
    assert "auto" in uvicorn.config.HTTP_PROTOCOLS, "uvicorn chooses its protocol in another way now"
    uvicorn.config.HTTP_PROTOCOLS["auto"] = guarded


def raise_handle_limit(settings: DoorSettings) -> None:
    """Let this process open as many files as it takes for its connections, as far as it may."""
    wanted = 2 * settings.max_connections + OTHER_HANDLES  # as many again that are still shaking hands over TLS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log.warning("only %d files may be open here, %d with all connections", hard, wanted)
