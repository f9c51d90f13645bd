"""A small HTTP client on asyncio: cheap enough that the server, not the client, is what a test measures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body as strict JSON: NaN is no JSON."""
        return json.loads(self.body, parse_constant=refuse_constant)

    @property
    def predictions(self) -> list[Any]:
        assert self.status == 200, self.body
        return list(self.content["predictions"])


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


class Connection:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def send(self, method: str, path: str, body: bytes = b"", headers: Sequence[str] = ()) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        if not any(line.lower().startswith("content-type") for line in headers):
            lines.append("Content-Type: application/json")
        self.writer.write("\r\n".join([*lines, *headers, "", ""]).encode() + body)

    async def read(self) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(status=int(head[0].split()[1]), headers=headers, body=body)

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Sequence[str] = ()) -> Reply:
        self.send(method, path, body, headers)
        return await asyncio.wait_for(self.read(), 60)


def predict_body(model: str, rows: Any) -> bytes:
    return json.dumps({"model": model, "rows": rows}).encode()


def ask(port: int, method: str, path: str, body: bytes = b"", headers: Sequence[str] = ()) -> Reply:
    """One request on a connection of its own."""

    async def once() -> Reply:
        async with Connection(port) as connection:
            return await connection.ask(method, path, body, headers)

    return asyncio.run(once())


def predict(port: int, model: str, rows: Any) -> Reply:
    return ask(port, "POST", "/predict", predict_body(model, rows))


async def predict_together(port: int, model: str, rows: Iterable[Any], *, clients: int) -> list[Reply]:
    """Each row as a request of its own, by so many clients at once; the replies in the order of the rows."""
    waiting = list(enumerate(rows))[::-1]
    replies: dict[int, Reply] = {}

    async def client() -> None:
        async with Connection(port) as connection:
            while waiting:
                position, row = waiting.pop()
                replies[position] = await connection.ask("POST", "/predict", predict_body(model, [row]))

    await asyncio.gather(*(client() for _ in range(clients)))
    return [replies[position] for position in sorted(replies)]
