"""Thrift's compact form, in which Parquet writes its footers and page headers: numbers are read, the rest passed over.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Bytes = bytes | memoryview
#: Structures within structures; Parquet's own need five.
DEEPEST = 16
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
NUMBERS = frozenset((I16, I32, I64))
#: Fields of a structure, or of each in a list of them, and the same of what lies within.
Wanted = Mapping[int, Any] | None


class TooShort(Exception):
    """The bytes end before the structure does."""


class Malformed(Exception):
    """No structure of thrift begins like that."""


def read_struct(data: Bytes, at: int = 0, *, depth: int = 0, wanted: Wanted = None) -> tuple[dict[int, Any], int]:
    """The numbers, lists and structures in a structure, by field, and where it ends.

    Args:
        data: what it lies in.
        at: where it begins.
        depth: structures around it.
        wanted: the only fields that are to be read, and which within each; the rest is passed over, several times as
            fast. None is all.

    Raises:
        TooShort: more bytes are needed to say.
        Malformed: more bytes would not help.
    """
    fields: dict[int, Any] = {}
    field = 0
    while True:
        if at >= len(data):
            raise TooShort
        head, at = data[at], at + 1
        if not head:
            return fields, at
        kind = head & 0x0F
        if head > 0x0F:
            field += head >> 4
        else:
            field, at = read_number(data, at)
        if wanted is None or field in wanted:
            within = wanted[field] if wanted else None
            fields[field], at = read_value(data, at, kind, depth=depth, wanted=within)
        elif kind > FALSE:
            at = pass_over(data, at, kind, depth)


def pass_over(data: Bytes, at: int, kind: int, depth: int) -> int:
    """Where a value that lies in a structure ends; written for speed, since it goes through most of every footer.

    Raises:
        TooShort, Malformed: as read_struct.
    """
    try:
        if kind in NUMBERS:
            while data[at] > 0x7F:
                at += 1
            return at + 1
        if kind == BINARY:
            size = data[at]
            if size < 0x80:
                return at + 1 + size
            size, at = read_varint(data, at)
            return after(data, at, size)
        if kind == LIST and depth < DEEPEST:
            size, kind, at = read_list_head(data, at)
            if kind <= BYTE:
                return after(data, at, size)
            for _ in range(size):
                at = pass_over(data, at, kind, depth + 1)
            return at
        if kind != STRUCT or depth >= DEEPEST:
            return read_value(data, at, kind, depth=depth)[1]
        while head := data[at]:
            at, kind = at + 1, head & 0x0F
            if head < 0x10:
                _, at = read_number(data, at)
            if kind == BINARY and data[at] < 0x80:
                at += 1 + data[at]
            elif kind in NUMBERS:
                while data[at] > 0x7F:
                    at += 1
                at += 1
            elif kind > FALSE:
                at = pass_over(data, at, kind, depth + 1)
        return at + 1
    except IndexError:
        raise TooShort from None


def read_value(
    data: Bytes, at: int, kind: int, *, depth: int, in_list: bool = False, wanted: Wanted = None
) -> tuple[Any, int]:
    """A value of a kind, None for one that is passed over, and where it ends."""
    if kind in (TRUE, FALSE):
        return read_byte(data, at) if in_list else (int(kind == TRUE), at)
    if kind in (I16, I32, I64):
        return read_number(data, at)
    if kind == BYTE:
        return read_byte(data, at)
    if kind == DOUBLE:
        return None, after(data, at, 8)
    if kind == BINARY:
        size, at = read_varint(data, at)
        return None, after(data, at, size)
    if depth >= DEEPEST:
        raise Malformed("it is nested too deeply")
    if kind == STRUCT:
        return read_struct(data, at, depth=depth + 1, wanted=wanted)
    if kind in (LIST, SET):
        size, kind, at = read_list_head(data, at)
        items = []
        for _ in range(size):
            item, at = read_value(data, at, kind, depth=depth + 1, in_list=True, wanted=wanted)
            items.append(item)
        return items, at
    if kind == MAP:
        size, at = read_varint(data, at)
        kinds, at = read_byte(data, at) if size else (0, at)
        for _ in range(size):
            for kind in (kinds >> 4, kinds & 0x0F):
                _, at = read_value(data, at, kind, depth=depth + 1, in_list=True)
        return None, at
    raise Malformed(f"it has a field of the kind {kind}")


def read_list_head(data: Bytes, at: int) -> tuple[int, int, int]:
    """How many elements a list has, their kind, and where the first begins."""
    head, at = read_byte(data, at)
    size, kind = head >> 4, head & 0x0F
    if size == 15:
        size, at = read_varint(data, at)
    return size, kind, at


def read_number(data: Bytes, at: int) -> tuple[int, int]:
    """A signed number, zigzag."""
    value, at = read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def read_varint(data: Bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte, at = read_byte(data, at)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Malformed("it has a number that does not end")


def read_byte(data: Bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise TooShort
    return data[at], at + 1


def after(data: Bytes, at: int, size: int) -> int:
    if size > len(data) - at:
        raise TooShort
    return at + size
