"""Siege: what a stranger may do to the entry port, and whether others are served meanwhile.

    python -m benchmarks.online.siege --connections 10000

A body of 1 GB, so many slow connections, garbage on the socket; to a server that this starts, on 127.0.0.1. Prints a
table: what was done, what came of it, the server's memory before and at most meanwhile, and how a lone caller fared.
Ends with 1 where memory grew by more than the bodies may take, or the lone caller was not always answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.online.contestants import TANDEM, tandem
from benchmarks.online.http import ask_once
from benchmarks.online.side import Running, serving
from benchmarks.prepare import prepare_models

GB = 1 << 30
#: What all bodies together may take (--max-bodies-mb), and what so many connections do.
MOST_MORE_MB = 512


def send_gigabyte(port: int, *, announced: bool) -> str:
    """A body of 1 GB: announced by its length, or in chunks without one."""
    sent, block = 0, b"x" * (1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        length = f"Content-Length: {GB}" if announced else "Transfer-Encoding: chunked"
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n\r\n".encode())
        try:
            while sent < GB:
                part = block if announced else f"{len(block):x}\r\n".encode() + block + b"\r\n"
                connection.sendall(part)
                sent += len(block)
        except OSError:
            pass
        try:
            said = connection.recv(200).split(b"\r\n")[0].decode("latin-1")
        except OSError as error:
            said = type(error).__name__
    return f"{said or 'closed'} after {sent >> 20} MiB"


async def open_slowly(port: int, count: int, seconds: float) -> str:
    """So many connections that send a byte of a header now and then."""
    ends, outcomes = time.monotonic() + seconds, Counter[str]()

    async def one() -> None:
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 20)
        except (OSError, TimeoutError) as error:
            outcomes[f"not connected ({type(error).__name__})"] += 1
            return
        try:
            writer.write(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
            while time.monotonic() < ends:
                await asyncio.sleep(random.uniform(2, 4))
                writer.write(b"a")
                await writer.drain()
                if reader.at_eof():
                    break
            outcomes["closed by the server" if reader.at_eof() else "held to the end"] += 1
        except OSError:
            outcomes["closed by the server"] += 1
        finally:
            writer.close()

    await asyncio.gather(*(one() for _ in range(count)))
    return ", ".join(f"{number} {what}" for what, number in outcomes.most_common())


def throw_garbage(port: int, count: int) -> str:
    """Random bytes, half a request, a request of another protocol, headers without end."""
    chance, outcomes = random.Random(7), Counter[str]()
    for number in range(count):
        kinds = [
            chance.randbytes(4096),
            b"\x16\x03\x01\x02\x00\x01",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /predict HTTP/1.1\r\n",
        ]
        kinds += [b"GET /models HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: b\r\n" * 20_000, b"\x00" * 70_000]
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.settimeout(0.5)
                connection.sendall(kinds[number % len(kinds)])
                outcomes[connection.recv(100).split(b"\r\n")[0].decode("latin-1")[:40] or "closed"] += 1
        except OSError as error:
            outcomes[type(error).__name__] += 1
    return ", ".join(f"{number} x {what}" for what, number in outcomes.most_common())


def besiege(running: Running, what: str, do: Callable[[], str]) -> tuple[list[str], bool]:
    """Do it while a lone caller asks and memory is watched."""
    before, most, took, wrong = running.held_mb(), 0.0, list[float](), Counter[int]()
    stop, body = threading.Event(), json.dumps(running.side.body("Am I served meanwhile?")).encode()

    def ask() -> None:
        nonlocal most
        while not stop.is_set():
            reply = ask_once(running.port, running.side.path, body, timeout_s=10)
            took.append(reply.seconds)
            wrong[reply.status] += reply.status != 200
            most = max(most, running.held_mb())
            stop.wait(0.1)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        came = do()
        time.sleep(1)
    finally:
        stop.set()
        asker.join()
    failed = {status: number for status, number in wrong.items() if number}
    fared = f"{len(took)} asked, {failed or 'all answered'}, p50 {statistics.median(took) * 1000:.0f} ms"
    fared += f", worst {max(took):.2f} s"
    return [what, came, f"{before:.0f} -> {most:.0f}", fared], not failed and most - before < MOST_MORE_MB


def run(coroutine: Coroutine[Any, Any, str]) -> str:
    return asyncio.run(coroutine)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online.siege")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=40.0)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    prepare_models(lambda what: print(what, flush=True))
    with serving(tandem(TANDEM, "onnx"), (0, 1)) as running:
        port, count = running.port, options.connections
        sieges = [
            besiege(running, "a body of 1 GB, announced", lambda: send_gigabyte(port, announced=True)),
            besiege(running, "a body of 1 GB in chunks", lambda: send_gigabyte(port, announced=False)),
            besiege(running, "garbage on the socket, 300 times", lambda: throw_garbage(port, 300)),
            besiege(running, f"{count} slow connections", lambda: run(open_slowly(port, count, options.seconds))),
        ]
    print("| what | what came of it | MB before -> at most | a lone caller meanwhile |\n|---|---|---|---|")
    for line, _ in sieges:
        print("| " + " | ".join(line) + " |")
    sys.exit(not all(stood for _, stood in sieges))


if __name__ == "__main__":
    main()
