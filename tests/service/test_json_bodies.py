"""JSON of bodies: the fast reader and writer say what the standard library's do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from service import json_bodies
from service.json_bodies import LARGE_BYTES, answer_object, read_json, write_pieces

NUMBERS = np.random.default_rng(7).standard_normal((64, 384)).astype(np.float32)


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b' {"a": [1, 2.5, -3e-7, true, null, "x"]} ', b'{"a": 1, "a": 2}', '["\u00e4\u20ac\U0001f600"]'.encode(),
        b'["\\ud800"]', '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}", b"12345678901234567890",
        b"[" * 300 + b"]" * 300, json.dumps(NUMBERS.tolist()).encode(),
    ],
)  # fmt: skip
def test_a_body_says_what_the_standard_library_reads(body: bytes) -> None:
    assert read_json(body) == json.loads(body)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1}x', b"[1_0]", b"[1,]", b"'a'", b"[" * 100_000])
def test_what_the_standard_library_refuses_is_refused_in_its_words(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)) as expected:
        json.loads(body)
    with pytest.raises(type(expected.value)) as found:
        read_json(body)
    assert str(found.value) == str(expected.value)


def test_what_is_well_formed_never_reaches_the_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.json_bodies.json.loads", None)
    assert read_json(json.dumps({"rows": NUMBERS.tolist()}).encode()) == {"rows": NUMBERS.tolist()}


@pytest.mark.parametrize("body", [b"[" + b"1," * LARGE_BYTES + b"]", b'{"a": "' + b"x" * LARGE_BYTES])
def test_a_large_body_that_is_no_json_is_not_read_twice(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.json_bodies.json.loads", None)
    with pytest.raises(ValueError, match="at line 1 column"):
        read_json(body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le", "utf-8-sig"])
def test_a_large_body_that_only_the_standard_library_reads_is_read(encoding: str) -> None:
    rows = ["\ud83d", "x" * LARGE_BYTES]  # half a pair costs its own row, not the request
    assert read_json(json.dumps({"rows": rows}).encode(encoding)) == {"rows": rows}


ROW = {"embedding": [0.5, 1.5, 2.5], "truncated": False}
FAULT = {"error": {"class": "NullValue", "message": "\u00e4\U0001f600", "attempts": 1}}


@pytest.mark.parametrize(
    "content",
    [
        {}, {"rows": []}, {"rows": [[]]}, {"a": {}, "rows": [ROW] * 9, "z": None}, {"rows": [FAULT, *[ROW] * 9]},
        {"rows": [ROW, FAULT] * 5}, {"data": list(range(40))}, {"data": [None, 1.5, True, "b"] * 9},
        {"outputs": [{"name": "a", "data": [1] * 20}, {"name": "b", "data": ["x"]}]}, {"rows": [[[1, 2]] * 9, [[3]]]},
        {"name": "a", "rows": [{"embedding": [0.25] * 30}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [1, 7, 16_384])
def test_what_is_written_in_pieces_is_the_same_json(
    content: dict[str, Any], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_bodies, "PIECE_VALUES", at_once)
    written = list(write_pieces(content))
    assert json.loads(b"".join(written)) == content
    assert max(piece.count(b",") for piece in written) <= max(at_once, 4)


def test_while_a_large_answer_is_written_others_have_their_turn_and_it_is_sent_whole() -> None:
    content = {"vectors": [NUMBERS.tolist() for _ in range(8)], "name": "\u00e4\U0001f600"}
    turns, messages = 0, []

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def send(message: Any) -> None:
        messages.append(message)

    async def check() -> None:
        counting = asyncio.create_task(count())
        said = await answer_object(content)
        counting.cancel()
        await said({"type": "http"}, None, send)  # type: ignore[arg-type]

    asyncio.run(check())
    head, *pieces = messages
    body = b"".join(piece["body"] for piece in pieces)
    assert dict(head["headers"]) == {
        b"content-type": b"application/json", b"content-length": str(len(body)).encode()
    }  # fmt: skip
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert json.loads(body) == content  # the same numbers
    assert turns >= len(pieces) - 1 >= 8
