"""JSON of bodies: the fast reader and writer say what the standard library's do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import BaseModel

from service import json_bodies
from service.json_bodies import JSONAnswer, read_json

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
    monkeypatch.setattr(json_bodies.json, "loads", None)
    assert read_json(json.dumps({"rows": NUMBERS.tolist()}).encode()) == {"rows": NUMBERS.tolist()}


def test_numbers_are_written_so_that_the_same_ones_are_read() -> None:
    class Vectors(BaseModel):
        vectors: list[list[float]]
        name: str

    said = JSONAnswer(Vectors(vectors=NUMBERS.tolist(), name="\u00e4\U0001f600"))
    assert said.headers["content-type"] == "application/json"
    assert json.loads(bytes(said.body)) == {"vectors": NUMBERS.tolist(), "name": "\u00e4\U0001f600"}
