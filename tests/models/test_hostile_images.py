"""Pictures that are none, lie about their size, or come in odd forms: an error row or the right numbers."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.footprint import held_bytes, reset_peak
from models.images import encode_images
from models.model import RowFault
from models.spec import Preprocess
from tests.models.test_images import make_pixels, save

SMALL = Preprocess(resize=(8, 8))
MIB = 1 << 20
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file 99 string readstring pop print\n"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(width: int, height: int, data: bytes, *extra: bytes) -> bytes:
    """A grey PNG that claims a size, whatever its data are."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def deflated_zeros(size: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def gif_bomb() -> bytes:
    """A GIF of 65,535 x 65,535 pixels in a few bytes."""
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b"\x2c" + bytes(4) + (
        struct.pack("<HHB", 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00\x3b"
    )  # fmt: skip


def tiff(*entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF with one directory of (tag, type, count, value)."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + bytes(64)


def faults_of(values: list[Any], preprocess: Preprocess = SMALL) -> dict[int, RowFault]:
    return dict(encode_images(values, preprocess).faults)


GOOD = save(Image.fromarray(make_pixels(20, 30)))
HOSTILE = {
    "a PNG of 100,000 x 100,000": png(100_000, 100_000, zlib.compress(b"")),
    "a PNG of 13,000 x 13,000": png(13_000, 13_000, zlib.compress(b"")),
    "a PNG of 2^31 x 1": png(2**31 - 1, 1, zlib.compress(b"")),
    "a PNG of no pixels": png(0, 9, zlib.compress(b"")),
    "a PNG whose text unpacks to 70 MB": png(
        8, 8, zlib.compress(bytes(72)), chunk(b"zTXt", b"note\0\0" + deflated_zeros(70 * MIB))
    ),
    "a GIF of 65,535 x 65,535": gif_bomb(),
    "a TIFF of 60,000 x 60,000": tiff((256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 1),
                                      (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 60_000),
                                      (279, 4, 1, 9)),
    "a TIFF whose strips lie elsewhere": tiff((256, 4, 1, 60), (257, 4, 1, 60), (258, 3, 1, 8), (259, 3, 1, 1),
                                              (262, 3, 1, 1), (273, 4, 1, 1 << 31), (277, 3, 1, 1), (278, 4, 1, 60),
                                              (279, 4, 1, 3600)),
    "a TIFF whose directory is its own next": b"II*\0" + struct.pack("<IH", 8, 0) + struct.pack("<I", 8),
    "half a PNG": GOOD[: len(GOOD) // 2],
    "half a JPEG": save(Image.fromarray(make_pixels(200, 300)), "JPEG")[:3000],
    "a header alone": GOOD[:33],
    "SVG": SVG,
    "EPS, which Ghostscript would run": EPS,
    "HTML": b"<html><body><img src='http://169.254.169.254/'></body></html>",
    "a ZIP": b"PK\x03\x04" + bytes(40),
    "nothing": b"",
    "zeros": bytes(1000),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_picture_is_an_error_row_and_its_neighbours_are_answered(case: str) -> None:
    reset_peak()
    before = held_bytes()
    encoded = encode_images([GOOD, HOSTILE[case], GOOD], SMALL)
    assert list(encoded.faults) == [1]
    assert encoded.faults[1].kind == "UndecodableImage"
    assert len(encoded.faults[1].message) < 600
    assert list(encoded.piece_rows) == [0, 2]
    assert held_bytes("VmHWM") - before < 120 * MIB


def test_ghostscript_is_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*words: Any, **settings: Any) -> None:
        raise AssertionError(words)

    monkeypatch.setattr("subprocess.Popen.__init__", start)
    assert faults_of([EPS])[0].kind == "UndecodableImage"


class CountingImage(Image.Image):
    """Counts how many of its kind are decoded at the same time."""

    now = most = 0
    lock = threading.Lock()

    def load(self) -> Any:
        kind = type(self)
        with kind.lock:
            kind.now += 1
            kind.most = max(kind.most, kind.now)
        time.sleep(0.02)
        with kind.lock:
            kind.now -= 1
        return super().load()


@pytest.mark.parametrize(("side", "expected"), [(4096, 1), (64, len(os.sched_getaffinity(0)))])
def test_large_pictures_are_unpacked_one_at_a_time(side: int, expected: int) -> None:
    CountingImage.most = 0
    pictures = [Image.new("L", (side, side)) for _ in range(6)]
    for picture in pictures:
        picture.__class__ = CountingImage
    encoded = encode_images([*pictures, bytes(MIB)], SMALL)  # the last one only makes threads worth their while
    assert list(encoded.faults) == [6]
    assert CountingImage.most <= expected
    assert expected == 1 or CountingImage.most > 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "ICO"])
def test_the_extension_says_nothing_and_the_bytes_everything(kind: str) -> None:
    image = Image.fromarray(make_pixels(32, 32))
    assert not faults_of([{"bytes": save(image, kind), "path": "picture.txt"}])


def test_every_frame_but_the_first_is_left_alone() -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    film = io.BytesIO()
    first.save(film, "GIF", save_all=True, append_images=[second] * 500, duration=10)
    found = encode_images([film.getvalue()], Preprocess(rescale=None)).features["pixel_values"][0]
    assert found[0].min() > 250
    assert found[2].max() < 5


@pytest.mark.parametrize("level", [np.nan, np.inf, -np.inf])
def test_levels_that_are_no_numbers_are_an_error_row_or_a_bound(level: float) -> None:
    levels = np.full((8, 8), 0.5, np.float32)
    levels[3, 3] = level
    faults = faults_of([save(Image.fromarray(levels), "TIFF")])
    if level == -np.inf:
        assert not faults
    else:
        assert "expected levels that are numbers" in faults[0].message


def test_levels_of_a_large_grey_picture_are_those_of_a_small_one() -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 65536, (1500, 1100), dtype=np.uint16)
    found = encode_images([save(Image.fromarray(levels))], Preprocess(mode="L", rescale=None))
    np.testing.assert_array_equal(found.features["pixel_values"][0][0], levels >> 8)
