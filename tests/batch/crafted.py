"""Parquet written by hand, so that it may claim what no library would write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MAGIC = b"PAR1"
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
#: Parquet's numbers for what is used here.
BYTE_ARRAY, REQUIRED, UTF8, PLAIN, DATA_PAGE, ZSTD = 6, 0, 0, 0, 0, 6

Field = tuple[int, int, int | bytes]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(value: int) -> bytes:
    """Zigzag, as signed numbers are written."""
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def struct(*fields: Field) -> bytes:
    """A structure of (field, kind, value) in ascending order; structures and lists are given as bytes."""
    out, last = b"", 0
    for place, kind, value in fields:
        step = place - last
        out += bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + number(place)
        if isinstance(value, int):
            out += number(value)
        else:
            out += varint(len(value)) + value if kind == BINARY else value
        last = place
    return out + b"\0"


def listed(kind: int, items: Sequence[bytes], *, claimed: int | None = None) -> bytes:
    size = len(items) if claimed is None else claimed
    head = bytes([size << 4 | kind]) if size < 15 else bytes([0xF0 | kind]) + varint(size)
    return head + b"".join(items)


def page(body: bytes, *, values: int, unpacked: int) -> bytes:
    """A data page, packed already, whose header claims to unpack to so many bytes."""
    data = struct((1, I32, values), (2, I32, PLAIN), (3, I32, 3), (4, I32, 3))
    return struct((1, I32, DATA_PAGE), (2, I32, unpacked), (3, I32, len(body)), (5, STRUCT, data)) + body


def texts_page(texts: Sequence[bytes]) -> bytes:
    """A page of texts, not packed."""
    body = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return page(body, values=len(texts), unpacked=len(body))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafted:
    """A file of one required column `text` in one row group. What is None is as it should be.

    Attributes:
        body: the column chunk.
        rows: of the row group and, unless `values` says so, values of the chunk.
        groups: how often the one row group stands in the footer.
        schema: elements of the schema, instead of the right ones.
        claimed_elements: how many the schema's list claims to have.
    """

    body: bytes = field(default_factory=lambda: texts_page([b"one", b"two words", b"three"]))
    rows: int = 3
    codec: int = 0
    values: int | None = None
    file_rows: int | None = None
    offset: int | None = None
    size: int | None = None
    unpacked: int | None = None
    groups: int = 1
    schema: Sequence[bytes] | None = None
    claimed_elements: int | None = None

    def to_bytes(self) -> bytes:
        size = len(self.body) if self.size is None else self.size
        chunk = struct(
            (1, I32, BYTE_ARRAY),
            (2, LIST, listed(I32, [number(PLAIN)])),
            (3, LIST, listed(BINARY, [varint(4) + b"text"])),
            (4, I32, self.codec),
            (5, I64, self.rows if self.values is None else self.values),
            (6, I64, size if self.unpacked is None else self.unpacked),
            (7, I64, size),
            (9, I64, 4 if self.offset is None else self.offset),
        )
        column = struct((2, I64, 4), (3, STRUCT, chunk))
        group = struct((1, LIST, listed(STRUCT, [column])), (2, I64, size), (3, I64, self.rows))
        elements = self.schema or [group_element("schema", 1), text_element()]
        footer = struct(
            (1, I32, 2),
            (2, LIST, listed(STRUCT, elements, claimed=self.claimed_elements)),
            (3, I64, self.rows * self.groups if self.file_rows is None else self.file_rows),
            (4, LIST, listed(STRUCT, [group] * self.groups)),
        )
        return MAGIC + self.body + footer + len(footer).to_bytes(4, "little") + MAGIC


def group_element(name: str, children: int) -> bytes:
    return struct((3, I32, REQUIRED), (4, BINARY, name.encode()), (5, I32, children))


def text_element(name: bytes = b"text") -> bytes:
    return struct((1, I32, BYTE_ARRAY), (3, I32, REQUIRED), (4, BINARY, name), (6, I32, UTF8))
