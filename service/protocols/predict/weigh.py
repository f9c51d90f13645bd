"""Weigh: what a table becomes when each of its values is spelled out, found without doing it.

A few bytes of Arrow can stand for gigabytes: a long value of which a dictionary keeps one, a list of nulls that have no
bytes at all.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

#: Of one value as Python holds it, besides its letters; of one that it keeps anyway.
VALUE_BYTES, KEPT_BYTES = 32, 8
KEPT = frozenset({pa.null(), pa.bool_(), pa.int8(), pa.uint8()})


def spelled_bytes(table: pa.Table) -> int:
    """What its values take.

    Raises:
        ValueError: of a type that is not taken here; names the column.
    """
    total = 0
    for name, column in zip(table.schema.names, table.columns, strict=True):
        for chunk in column.chunks:
            total += weigh(chunk, name)
    return total


def weigh(array: pa.Array, column: str) -> int:
    """What the values of an array take, those within them included."""
    kind = array.type
    own = len(array) * (KEPT_BYTES if kind in KEPT else VALUE_BYTES)
    if isinstance(array, pa.ExtensionArray):
        return weigh(array.storage, column)
    if pt.is_dictionary(kind):
        return own + weigh_words(array.dictionary, array.indices, column)
    if is_binary(kind):
        return own + (pc.sum(pc.binary_length(array)).as_py() or 0)
    if pt.is_struct(kind):
        return own + sum(weigh(array.field(place), column) for place in range(kind.num_fields))
    if pt.is_map(kind):
        return own + weigh(array.keys, column) + weigh(array.items, column)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return own + weigh(array.values, column)
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        lengths = np.frombuffer(array.buffers()[1] or b"", np.int32)[::4][array.offset : array.offset + len(array)]
        return own + int(lengths[array.is_valid().to_numpy(zero_copy_only=False)].sum(dtype=np.int64))
    if kind.num_fields:  # views of lists, unions and run-ends may name the same values again and again
        raise ValueError(f"its column {column!r} is of type {kind}, which is not taken here; cast it to plain values")
    return own


def weigh_words(words: pa.Array, indices: pa.Array, column: str) -> int:
    """What a dictionary's words take where they are used."""
    if words.type.num_fields or pt.is_dictionary(words.type):
        raise ValueError(f"its column {column!r} is a dictionary of {words.type}, which is not taken here")
    if pt.is_fixed_size_binary(words.type):
        return int(words.type.byte_width) * len(indices)
    if not is_binary(words.type):
        return 0
    lengths = pc.cast(pc.binary_length(words), pa.int64())
    return pc.sum(lengths.take(indices)).as_py() or 0


def is_binary(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_binary(kind) or pt.is_large_binary(kind))
