"""A small HTTP/1.1 client on asyncio: kept-alive connections, and nothing that costs as much as a server."""

from __future__ import annotations

import asyncio
import http.client
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back; status 0 where the connection broke or nothing came in time."""

    status: int
    seconds: float
    body: bytes


def ask_once(port: int, path: str, body: bytes, *, timeout_s: float) -> Reply:
    """One request on a connection of its own, without an event loop."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return Reply(status=answer.status, seconds=time.monotonic() - begun, body=answer.read())
    except (OSError, http.client.HTTPException):
        return Reply(status=0, seconds=time.monotonic() - begun, body=b"")
    finally:
        connection.close()


class Pool:
    """Connections to one server, as many as requests are on their way; each is used again when it is free."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes, *, timeout_s: float = 30.0) -> Reply:
        """One request; a kept connection that the server has closed meanwhile is replaced by a new one, once."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                while self._free:
                    pair = self._free.pop()
                    try:
                        return await self._ask(pair, body, begun)
                    except (OSError, asyncio.IncompleteReadError):
                        pair[1].close()
                        break
                pair = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
                return await self._ask(pair, body, begun)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            return Reply(status=0, seconds=time.monotonic() - begun, body=b"")

    async def _ask(self, pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], body: bytes, begun: float) -> Reply:
        reader, writer = pair
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json"
        try:
            writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            if headers.get("transfer-encoding") == "chunked":
                content = b""
                while size := int(await reader.readline(), 16):
                    content += (await reader.readexactly(size + 2))[:-2]
                await reader.readline()
            else:
                content = await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException:
            writer.close()
            raise
        reply = Reply(status=int(lines[0].split()[1]), seconds=time.monotonic() - begun, body=content)
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._free.append(pair)
        return reply

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()
