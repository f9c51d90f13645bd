"""A server under siege: slow connections, endless bodies, garbage. Memory is bounded, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.client import Connection, predict, predict_body
from tests.service.server import Server, serving

CONNECTIONS = 60
LIMIT_BYTES = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": "tests.service.models:LetterModel",
        "TANDEM_MAX_BODY_MB": "1",
        "TANDEM_MAX_CONNECTIONS": str(CONNECTIONS),
        "TANDEM_HEADER_TIMEOUT_S": "2",
        "TANDEM_BODY_TIMEOUT_S": "2",
    }
    with serving(tmp_path_factory.mktemp("siege") / "home", settings) as running:
        yield running


async def hold(server: Server, stack: contextlib.AsyncExitStack, said: bytes) -> Connection:
    connection = await stack.enter_async_context(Connection(server.port))
    connection.writer.write(said)
    return connection


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"G",
        b"GET /models HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["silent", "a letter", "half a header", "half a body", "idle after an answer"],
)
def test_connections_that_keep_their_request_to_themselves_keep_nobody_out(server: Server, said: bytes) -> None:
    before = sockets(server)

    async def check() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5 * CONNECTIONS):
                await hold(server, stack, said)
            ends = (
                asyncio.get_running_loop().time() + 1.5
            )  # the last of them may still be at the gate; after 2 s all go
            while (held := sockets(server) - before) > CONNECTIONS and asyncio.get_running_loop().time() < ends:
                await asyncio.sleep(0.1)
            assert held <= CONNECTIONS
            for _ in range(5):
                async with Connection(server.port) as served:
                    reply = await served.ask("POST", "/predict", predict_body("letters", ["abc"]))
                    assert reply.status == 200

    asyncio.run(check())
    assert "Traceback" not in server.log.read_text()


def test_a_stream_that_brings_lines_is_not_the_first_to_leave_a_full_room(server: Server) -> None:
    head = b"POST /predict?model=letters HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"

    async def hear(stream: Connection) -> None:
        stream.writer.write(b'6\r\n"abc"\n\r\n')
        while b"label" not in (line := await asyncio.wait_for(stream.reader.readline(), 20)):
            assert line, "the stream was cut off"

    async def check() -> None:
        async with contextlib.AsyncExitStack() as stack:
            stream = await hold(server, stack, head + b"Transfer-Encoding: chunked\r\n\r\n")
            await hear(stream)
            for _ in range(3):
                for _ in range(CONNECTIONS // 2):
                    await hold(server, stack, b"")
                await asyncio.sleep(0.2)
                await hear(stream)

    asyncio.run(check())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nX-A: ", 408),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{", 408),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is a TLS greeting\r\n\r\n", 400),
        (b"\x00" * 100_000, 400),
        (b"A" * 100_000, 400),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /models HTTP/1.1\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    ],
    ids=[
        "slow header",
        "slow body",
        "TLS",
        "zeros",
        "letters",
        "two hosts",
        "no host",
        "no chunk",
        "two lengths",
        "ws",
    ],
)
def test_what_is_no_request_is_answered_in_one_line_and_closed(server: Server, said: bytes, status: int) -> None:
    async def check() -> None:
        async with Connection(server.port) as connection:
            connection.writer.write(said)
            reply = await asyncio.wait_for(connection.read(), 20)
            assert reply.status == status
            if status != 200:
                assert isinstance(reply.content["error"], str)
                assert reply.headers["connection"] == "close"
                assert await asyncio.wait_for(connection.reader.read(1), 20) == b""

    asyncio.run(check())
    assert "Traceback" not in server.log.read_text()
    assert predict(server.port, "letters", ["abc"]).status == 200


def test_nonsense_after_a_good_request_costs_only_itself(server: Server) -> None:
    async def check() -> None:
        async with Connection(server.port) as connection:
            connection.send("GET", "/models")
            connection.writer.write(b"what is\x00this\r\n\r\n")
            assert (await connection.read()).status == 200
            assert (await connection.read()).status == 400

    asyncio.run(check())
    assert "Traceback" not in server.log.read_text()


def test_a_body_without_end_is_refused_and_takes_no_memory(server: Server) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"

    async def pour() -> None:
        async with Connection(server.port) as connection:
            connection.writer.write(head)
            with contextlib.suppress(OSError):
                for _ in range(200 * LIMIT_BYTES // 65536):
                    connection.writer.write(piece)
                    await connection.writer.drain()
                raise AssertionError("200 MiB were taken")

    async def check() -> None:
        await asyncio.gather(*(pour() for _ in range(10)))

    before = resident_mb(server)
    asyncio.run(check())
    assert resident_mb(server) - before < 60
    assert predict(server.port, "letters", ["abc"]).status == 200


def test_a_reader_who_takes_nothing_is_given_up(server: Server) -> None:
    """His answers wait in his connection until it is full; the server stops reading, and soon waiting."""
    before = resident_mb(server)
    with socket.create_connection(("127.0.0.1", server.port), 30) as greedy, contextlib.suppress(ConnectionError):
        for _ in range(1_000_000):
            greedy.sendall(b"GET /docs.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        raise AssertionError("the connection is still there")
    assert resident_mb(server) - before < 60
    assert predict(server.port, "letters", ["abc"]).status == 200


def worker(server: Server) -> int:
    """The process that answers: of the children of the one that was started, the largest."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children", encoding="ascii") as pids:
        return max(map(int, pids.read().split()), key=resident_of)


def resident_of(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status.read().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024


def resident_mb(server: Server) -> float:
    return resident_of(worker(server))


def sockets(server: Server) -> int:
    """How many sockets the server holds open."""
    found = 0
    for handle in Path(f"/proc/{worker(server)}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(handle).startswith("socket:")
    return found
