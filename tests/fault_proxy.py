"""An HTTP proxy that goes wrong on purpose, between a client and an S3 server.

The Host header passes unchanged, so that signatures hold. Every answer closes its connection.
"""

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from tests.servers.sign import sign_anew

Fault = Literal[
    "hold",  # the request does not reach the server until `release`
    "hold_answer",  # it does; its answer does not reach the client until `release`
    "error",  # it does not reach the server; the client gets `status` and `code`
    "error_after",  # it is applied; the client gets `status` and `code`
    "reset",  # it does not reach the server; the connection is reset
    "lose_answer",  # it is applied; the connection is reset
    "truncate",  # half of the answer's body, then the end of the connection
    "stall",  # half of the answer's body, then nothing
    "gibberish",  # it does not reach the server; the client gets a page that is no answer of S3's
    "strip",  # it reaches the server without `header`, signed anew
]


@dataclass(kw_only=True)
class Rule:
    """Which requests meet which fault: the first `times` (None: all) that match, after `skip` that pass."""

    fault: Fault
    method: str = ".*"
    path: str = ""
    skip: int = 0
    times: int | None = 1
    status: int = 503
    code: str = "SlowDown"
    header: str = ""
    matched: int = 0
    held: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _resume: Callable[[bool], None] = field(default=lambda forward: None, repr=False)

    def meets(self, method: str, path: str) -> bool:
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        self.matched += 1
        return self.skip < self.matched <= self.skip + (self.times if self.times is not None else self.matched)

    def choose(self, method: str, path: str) -> "Rule | None":
        """What befalls this request: this rule, or nothing."""
        return self if self.meets(method, path) else None

    def wait_until_held(self, timeout_s: float = 30.0) -> None:
        assert self.held.acquire(timeout=timeout_s), f"no {self.method} {self.path} came within {timeout_s} s"

    def release(self, *, forward: bool = True) -> None:
        """Let go what is held and what comes; with forward=False what is held is dropped."""
        self._resume(forward)


class FromThenOn(Rule):
    """Passes everything until a request comes for its path, and nothing from then on."""

    def choose(self, method: str, path: str) -> Rule | None:
        if self.matched or super().meets(method, path):
            self.matched = 1
            return self
        return None


#: What may befall a request at random: its fault, status and code. Whether it was applied nobody is told.
_READ_FAULTS: tuple[tuple[Fault, int, str], ...] = (
    ("error", 503, "SlowDown"),
    ("error", 500, "InternalError"),
    ("reset", 0, ""),
    ("truncate", 0, ""),
)
_WRITE_FAULTS: tuple[tuple[Fault, int, str], ...] = (
    ("error", 503, "SlowDown"),
    ("error", 500, "InternalError"),
    ("error", 409, "ConditionalRequestConflict"),
    ("error_after", 503, "SlowDown"),
    ("error_after", 500, "InternalError"),
    ("lose_answer", 0, ""),
    ("reset", 0, ""),
)


@dataclass(kw_only=True)
class RandomFaults(Rule):
    """One request in so many goes wrong, in one of many ways.

    What happens to a request follows from the seed, what is asked, and how often that was asked before: the order in
    which requests of several threads come changes nothing.
    """

    fault: Fault = "error"
    seed: int
    rate: float
    made: int = 0
    _asked: Counter[str] = field(default_factory=Counter, repr=False)

    def choose(self, method: str, path: str) -> Rule | None:
        question = f"{method} {path.partition('uploadId=')[0]}"
        self._asked[question] += 1
        source = random.Random(f"{self.seed} {question} {self._asked[question]}")
        if source.random() >= self.rate:
            return None
        self.made += 1
        fault, status, code = source.choice(_WRITE_FAULTS if method in ("PUT", "POST") else _READ_FAULTS)
        return Rule(fault=fault, status=status, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that came, and what became of it; status 0 where the client got none."""

    method: str
    path: str
    headers: dict[str, str]
    fault: str | None
    status: int


class FaultProxy:
    """`with FaultProxy(server_url) as proxy: proxy.add(Rule(fault="reset", method="PUT"))`; clients use `proxy.url`."""

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._rules: list[Rule] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._gates: dict[int, asyncio.Future[bool]] = {}
        self.seen: list[Seen] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def add(self, rule: Rule) -> Rule:
        go: asyncio.Future[bool] = self._loop.create_future()
        rule._resume = lambda forward: self._call(lambda: None if go.done() else go.set_result(forward))
        self._gates[id(rule)] = go
        self._rules.append(rule)
        return rule

    def requests(self, method: str = ".*", path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if re.fullmatch(method, seen.method) and re.search(path, seen.path)]

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(timeout=10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=10)
        self._call(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def _call(self, action: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(action)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the turn after

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the proxy stops
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        method, path = start.split(" ")[:2]
        if headers.pop("expect", None):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, headers)
        rule = next((met for rule in self._rules if (met := rule.choose(method, unquote(path)))), None)
        fault = rule.fault if rule else None
        sent: dict[str, str] = dict(headers)

        def note(status: int) -> None:
            self.seen.append(Seen(method=method, path=unquote(path), headers=sent, fault=fault, status=status))

        if rule and fault == "hold" and not await self._hold(rule):
            return note(0)
        if fault == "reset":
            note(0)
            return _reset(writer)
        if rule and fault == "strip":
            headers.pop(rule.header.lower(), None)
            headers = sign_anew(method, path, headers, body)
        if rule and fault == "error":
            answer = _error(rule, method)
        elif rule and fault == "gibberish":
            head = f"HTTP/1.1 {rule.status} Page\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
            answer = head.encode() + b"<html><p>Log in first"
        else:
            answer = await self._forward(start, headers, body)
        if rule and fault == "error_after":
            answer = _error(rule, method)
        if fault == "lose_answer" or (rule and fault == "hold_answer" and not await self._hold(rule)):
            note(0)
            return _reset(writer)
        if fault in ("truncate", "stall"):
            head, _, content = answer.partition(b"\r\n\r\n")
            answer = head + b"\r\n\r\n" + content[: len(content) // 2]
        note(int(answer.split(b" ", 2)[1]))
        writer.write(answer)
        await writer.drain()
        if fault == "stall":
            await reader.read()  # until the client gives up
        return None

    async def _hold(self, rule: Rule) -> bool:
        rule.held.release()
        return await asyncio.shield(self._gates[id(rule)])

    async def _forward(self, start: str, headers: dict[str, str], body: bytes) -> bytes:
        """The server's whole answer, marked so that the client does not use its connection again."""
        reader, writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            lines = [start, *(f"{name}: {value}" for name, value in {**headers, "connection": "close"}.items())]
            writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            answer = await reader.read()
        finally:
            writer.close()
        head, _, content = answer.partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        return b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + content


def _parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return start, {name.lower(): value.strip() for name, _, value in pairs}


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while True:  # kept as it came
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line.split(b";")[0], 16) + 2)
        if int(line.split(b";")[0], 16) == 0:
            return body


def _error(rule: Rule, method: str) -> bytes:
    text = "" if method == "HEAD" else f"<Error><Code>{rule.code}</Code><Message>on purpose</Message></Error>"
    head = f"HTTP/1.1 {rule.status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
