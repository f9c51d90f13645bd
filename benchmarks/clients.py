"""Clients on asyncio: a burst, an open loop, a lone caller."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    seconds: float
    content: Any


async def post(port: int, body: dict[str, Any], *, timeout_s: float = 60) -> Reply:
    """One request on a connection of its own; status 0 where the connection broke or nothing came in time."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                sent = json.dumps(body).encode()
                head = ["POST /predict HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
                head += ["Content-Type: application/json", f"Content-Length: {len(sent)}", "", ""]
                writer.write("\r\n".join(head).encode() + sent)
                answer = await reader.read()
            finally:
                writer.close()
        head_bytes, _, content = answer.partition(b"\r\n\r\n")
        return Reply(
            status=int(head_bytes.split()[1]), seconds=time.monotonic() - begun, content=json.loads(content or b"null")
        )
    except (OSError, TimeoutError, ValueError, IndexError):
        return Reply(status=0, seconds=time.monotonic() - begun, content=None)


async def burst(port: int, bodies: list[dict[str, Any]]) -> list[Reply]:
    """All at once."""
    return list(await asyncio.gather(*(post(port, body) for body in bodies)))


async def open_loop(port: int, body: Callable[[int], dict[str, Any]], *, rate: float, seconds: float) -> list[Reply]:
    """So many a second, whether they are answered or not."""

    async def one(i: int) -> Reply:
        await asyncio.sleep(i / rate)
        return await post(port, body(i))

    return list(await asyncio.gather(*(one(i) for i in range(int(rate * seconds)))))


async def lone(port: int, body: Callable[[int], dict[str, Any]], *, count: int) -> list[Reply]:
    """One caller, one request after another."""
    return [await post(port, body(i)) for i in range(count)]
