"""One object over HTTP or HTTPS: one request to one address, no redirects, no more bytes than allowed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import h11

from service.door.fetch.errors import FetchRefused, FetchUnreadable
from service.door.fetch.prefix import PORTS, Place

PIECE_BYTES = 65536


async def get(
    place: Place,
    addresses: Sequence[str],
    *,
    context: ssl.SSLContext,
    limit_bytes: int,
    hold: Callable[[int], None],
) -> bytes:
    """What a place answers with 200.

    Args:
        place: whose name is asked for, and its certificate checked against.
        addresses: the first of them that answers is asked, whatever the name means by now.
        context: of TLS.
        limit_bytes: beyond which nothing is read.
        hold: is told of each piece before it is kept, and raises where there is no room.

    Raises:
        FetchRefused: it leads elsewhere.
        FetchUnreadable: it answers with something else, too much, or nothing.
    """
    secure: dict[str, Any] = {"ssl": context, "server_hostname": place.host} if place.scheme == "https" else {}
    for address in addresses:
        try:
            reader, writer = await asyncio.open_connection(address, place.port, **secure)
        except ssl.SSLError:
            raise FetchUnreadable("its certificate does not hold, or it speaks no TLS") from None
        except OSError:
            continue
        try:
            return await ask(place, reader, writer, limit_bytes, hold)
        except (OSError, h11.RemoteProtocolError):
            raise FetchUnreadable("it did not answer as a web server does") from None
        finally:
            writer.transport.abort()
    raise FetchUnreadable("nothing answers there")


async def ask(
    place: Place,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    limit_bytes: int,
    hold: Callable[[int], None],
) -> bytes:
    host = f"[{place.host}]" if ":" in place.host else place.host
    host += "" if place.port == PORTS[place.scheme] else f":{place.port}"
    headers = [("Host", host), ("Connection", "close"), ("Accept-Encoding", "identity"), ("User-Agent", "tandem")]
    target = f"{place.path}?{place.query}" if place.query else place.path
    connection = h11.Connection(h11.CLIENT)
    for part in (h11.Request(method="GET", target=target, headers=headers), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    found = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(PIECE_BYTES))
        elif isinstance(event, h11.Response):
            if 300 <= event.status_code < 400:
                raise FetchRefused("it leads elsewhere, which is not followed")
            if event.status_code != 200:
                raise FetchUnreadable(f"it answered {event.status_code}")
        elif isinstance(event, h11.Data):
            if len(found) + len(event.data) > limit_bytes:
                raise FetchUnreadable(f"it is larger than {limit_bytes // (1024 * 1024)} MiB")
            hold(len(event.data))
            found += event.data
        elif isinstance(event, h11.EndOfMessage):
            return bytes(found)
        elif isinstance(event, h11.ConnectionClosed):
            raise FetchUnreadable("it closed the connection")
