"""What an Arrow message claims that its packed buffers unpack to, read before pyarrow believes it.

A packed buffer begins with the size that it unpacks to, and pyarrow allocates what is said there. The fields are those
of `RecordBatch` in Arrow's Message.fbs; only as much of FlatBuffers is read as finds them.
"""

from __future__ import annotations

from struct import Struct, error

import pyarrow as pa

U16, I32, U32, I64 = Struct("<H"), Struct("<i"), Struct("<I"), Struct("<q")
#: Message: the header's kind and the header; of the kinds, a dictionary (whose `data` is a record batch) and a batch.
HEADER_TYPE, HEADER, DICTIONARY, RECORD_BATCH = 1, 2, 2, 3
DICTIONARY_DATA, BUFFERS, COMPRESSION = 1, 2, 3


def unpacked_bytes(message: pa.Message) -> int:
    """What the buffers of a message become: what they say where they are packed, else what they are.

    Raises:
        ValueError: the message is damaged.
    """
    body_bytes = message.body.size if message.body is not None else 0
    try:
        return claimed_bytes(memoryview(message.metadata), memoryview(message.body or b""), body_bytes)
    except (error, IndexError):
        raise ValueError("a message of it is damaged") from None


def claimed_bytes(data: memoryview, body: memoryview, body_bytes: int) -> int:
    root = U32.unpack_from(data, 0)[0]
    kind = field_at(data, root, HEADER_TYPE)
    header = field_at(data, root, HEADER)
    if not kind or not header or data[kind] not in (DICTIONARY, RECORD_BATCH):
        return body_bytes
    batch = header + U32.unpack_from(data, header)[0]
    if data[kind] == DICTIONARY:
        inner = field_at(data, batch, DICTIONARY_DATA)
        if not inner:
            return body_bytes
        batch = inner + U32.unpack_from(data, inner)[0]
    buffers = field_at(data, batch, BUFFERS)
    if not buffers or not field_at(data, batch, COMPRESSION):
        return body_bytes
    vector = buffers + U32.unpack_from(data, buffers)[0]
    total = 0
    for number in range(U32.unpack_from(data, vector)[0]):
        at = vector + 4 + 16 * number
        offset, length = I64.unpack_from(data, at)[0], I64.unpack_from(data, at + 8)[0]
        if offset < 0 or length < 0 or offset + length > body_bytes:
            raise IndexError(offset)
        if length:
            claimed = I64.unpack_from(body, offset)[0]
            total += length if claimed < 0 else claimed  # -1: this buffer is not packed
    return total


def field_at(data: memoryview, table: int, number: int) -> int:
    """Where a field of a table lies; 0 where it has none."""
    entries = table - I32.unpack_from(data, table)[0]
    if entries < 0:
        raise IndexError(entries)
    place = 4 + 2 * number
    if place >= U16.unpack_from(data, entries)[0]:
        return 0
    offset = U16.unpack_from(data, entries + place)[0]
    return table + offset if offset else 0
