"""Bodies: limits by size, by key, of all together, by speed, and of what a packed one unpacks to."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.door.bodies import Bodies, Body
from service.door.decompress import Decompressor
from service.door.errors import BodyBroken, BodyTooLarge, BodyTooSlow
from service.door.settings import DoorSettings
from tests.service.door.ask import add_key, ask, make_door

MIB = 1024 * 1024
PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress}


async def streamed(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_a_body_at_the_limit_is_read_and_one_beyond_is_413_announced_or_streamed() -> None:
    door = make_door(max_body_bytes=MIB)
    assert ask(door, "POST", "/predict", content=b"x" * MIB).json()["size"] == MIB
    for content in (b"x" * (MIB + 1), streamed(b"x" * MIB, b"x")):
        reply = ask(door, "POST", "/predict", content=content)
        assert reply.status_code == 413
        assert reply.headers["Connection"] == "close"
        assert "1 MiB" in reply.json()["error"]
    assert door.bodies.held_bytes == 0


def test_a_body_that_is_announced_as_too_large_is_not_read() -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    header = {"Content-Length": str(MIB + 1)}
    assert ask(make_door(max_body_bytes=MIB), "POST", "/predict", content=never(), headers=header).status_code == 413


def test_a_key_has_a_limit_of_its_own_below_or_above_that_of_others(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    small, large = add_key(keys, "ann", "predict", max_body_mb=1), add_key(keys, "bob", "predict", max_body_mb=3)
    door = make_door(keys=keys, max_body_bytes=2 * MIB)
    content = b"x" * (2 * MIB + 1)
    assert ask(door, "POST", "/predict", content=content[:-MIB], headers=small).status_code == 413
    assert ask(door, "POST", "/predict", content=content, headers=large).status_code == 200


def test_a_stranger_is_refused_before_a_byte_of_his_body_is_read(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json", "ann", "predict")

    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    door = make_door(keys=tmp_path / "keys.json")
    reply = ask(door, "POST", "/predict", content=never())
    assert (reply.status_code, reply.headers["Connection"]) == (401, "close")


def test_all_bodies_together_have_a_limit_and_make_room_when_they_are_answered() -> None:
    door = make_door(max_body_bytes=MIB, max_bodies_bytes=3 * MIB)
    held, gate = asyncio.Event(), asyncio.Event()

    async def half(size: int) -> AsyncIterator[bytes]:
        yield b"x" * size
        held.set()
        await gate.wait()
        yield b"x"

    async def check() -> None:
        transport = httpx.ASGITransport(door)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            waiting = []
            for _ in range(3):
                held.clear()
                waiting.append(asyncio.create_task(client.post("/predict", content=half(MIB - 1))))
                await held.wait()
                await asyncio.sleep(0)
            for content in (b"x" * 1000, streamed(b"x" * 1000)):
                refused = await client.post("/predict", content=content)
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            gate.set()
            assert [reply.status_code for reply in await asyncio.gather(*waiting)] == [200] * 3
            assert (await client.post("/predict", content=b"x" * 1000)).status_code == 200

    asyncio.run(asyncio.wait_for(check(), 20))
    assert door.bodies.held_bytes == 0


@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_packed_body_comes_unpacked_whatever_the_protocol(encoding: str, pieces: int) -> None:
    body = bytes(range(256)) * 400
    packed = PACKERS[encoding](body)
    step = len(packed) // pieces + 1
    content = streamed(*(packed[at : at + step] for at in range(0, len(packed), step)))
    reply = ask(make_door(), "POST", "/predict", content=content, headers={"Content-Encoding": encoding})
    assert reply.json()["size"] == len(body)


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_packed_body_unpacks_to_no_more_than_the_limit(encoding: str) -> None:
    door, header = make_door(max_body_bytes=2 * MIB), {"Content-Encoding": encoding}
    fits, bursts = (PACKERS[encoding](b"ab" * size + bytes(64)) for size in (MIB // 4, MIB))
    assert ask(door, "POST", "/predict", content=fits, headers=header).status_code == 200
    assert ask(door, "POST", "/predict", content=bursts, headers=header).status_code == 413
    assert door.bodies.held_bytes == 0


def test_a_body_made_to_burst_is_refused_long_before_the_limit_and_never_held() -> None:
    bomb = zlib.compress(bytes(300 * MIB), 9)
    with pytest.raises(BodyTooLarge, match="unpacks to more"):
        Decompressor("deflate", limit_bytes=1024 * MIB).feed(bomb[:60_000], last=False)
    unpack = Decompressor("deflate", limit_bytes=MIB)
    with pytest.raises(BodyTooLarge):
        unpack.feed(bomb, last=True)


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"{}")[:-3], gzip.compress(b"{}") + b"more", gzip.compress(b"{}") * 2],
    ids=["something else", "cut short", "something follows", "two of them"],
)
def test_a_body_that_does_not_unpack_is_400(body: bytes) -> None:
    reply = ask(make_door(), "POST", "/predict", content=body, headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 400
    assert "not gzip" in reply.json()["error"]
    with pytest.raises(BodyBroken):
        Decompressor("gzip", limit_bytes=MIB).feed(body, last=True)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "\x80"])
def test_an_encoding_that_is_not_unpacked_here_is_415(encoding: str) -> None:
    assert ask(make_door(), "POST", "/predict", content=b"x", headers={"Content-Encoding": encoding}).status_code == 415


async def receive_all(body: Body) -> None:
    while (await body.receive())["more_body"]:
        pass


def test_a_body_that_hardly_comes_is_408_and_one_that_the_server_is_slow_to_read_is_not() -> None:
    async def check() -> None:
        bodies = Bodies(DoorSettings(body_timeout_s=1))

        async def drip() -> dict[str, object]:
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b"x", "more_body": True}

        slow = bodies.open({"type": "http", "headers": []}, {}, drip, limit_bytes=None)
        with pytest.raises(BodyTooSlow):
            await receive_all(slow)

        async def at_once() -> dict[str, object]:
            return {"type": "http.request", "body": b"x", "more_body": True}

        awaited = bodies.open({"type": "http", "headers": []}, {}, at_once, limit_bytes=None)
        for _ in range(3):
            await awaited.receive()
            await asyncio.sleep(0.5)

    asyncio.run(check())
