"""A footer's claims: how deep its schema is, before pyarrow reads it, and where its column chunks lie, after."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.claims.thrift import (
    LIST,
    Malformed,
    TooShort,
    Wanted,
    read_byte,
    read_list_head,
    read_number,
    read_struct,
    read_value,
)

#: pyarrow follows a schema by recursion; 26 refuses more levels than these by itself.
DEEPEST_SCHEMA = 100
#: Elements of a schema: columns, and what they are made of.
MOST_ELEMENTS = 100_000
#: The same in Arrow's types, for which Parquet needs up to three levels each: what a plan can hold and be read back.
DEEPEST_TYPE = 24


#: Parquet's numbers for ways of packing.
CODECS = range(8)
#: Of FileMetaData in parquet.thrift, what says of which kind the column chunks are.
KINDS: Wanted = {4: {1: {3: {4: None, 16: None}, 8: {}, 9: None}}}
#: A file begins with PAR1.
MAGIC_BYTES = 4


class FalseClaim(Exception):
    """What a footer or a page says of the file cannot be; the message is the reason."""


def check_schema(footer: bytes) -> None:
    """See that a footer's schema can be followed; costs next to nothing where it has no more elements than levels.

    Args:
        footer: FileMetaData as thrift writes it.

    Raises:
        FalseClaim: it is nested too deeply, or is none.
    """
    try:
        field = at = 0
        while field != 2:
            head, at = read_byte(footer, at)
            if not head:
                raise FalseClaim("its footer is damaged (it has no schema)")
            step = head >> 4
            if step:
                field += step
            else:
                field, at = read_number(footer, at)
            if field != 2:
                _, at = read_value(footer, at, head & 0x0F, depth=0)
            elif head & 0x0F != LIST:
                raise FalseClaim("its footer is damaged (its schema is no list)")
        elements, _, at = read_list_head(footer, at)
        if elements > MOST_ELEMENTS:
            raise FalseClaim(f"its schema has {elements:,} elements, more than {MOST_ELEMENTS:,}")
        if elements > DEEPEST_SCHEMA:
            check_depth(footer, at, elements)
    except (TooShort, Malformed):
        raise FalseClaim("its footer is damaged") from None


def check_depth(footer: bytes, at: int, elements: int) -> None:
    """Follow the schema's elements, each of which says how many of the next are its own."""
    open_groups: list[int] = []
    for _ in range(elements):
        element, at = read_struct(footer, at)
        while open_groups and not open_groups[-1]:
            open_groups.pop()
        if open_groups:
            open_groups[-1] -= 1
        if children := element.get(5) or 0:
            open_groups.append(children)
        if len(open_groups) > DEEPEST_SCHEMA:
            raise FalseClaim(f"its schema is nested more than {DEEPEST_SCHEMA} levels deep")


def check_chunks(footer: pq.FileMetaData, *, end: int) -> None:
    """See that every column chunk lies in the file, apart from the others, and holds as many rows as its row group.

    Args:
        footer: as pyarrow read it.
        end: where the chunks have to end: where the footer begins.

    Raises:
        FalseClaim: names the row group and the column.
    """
    leaves = [footer.schema.column(leaf) for leaf in range(footer.num_columns)]
    flat = [leaf.max_repetition_level == 0 for leaf in leaves]
    chunks: list[tuple[int, int, int, int]] = []
    rows = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        group_rows = group.num_rows
        if group_rows < 0 or group.num_columns != len(leaves):
            raise FalseClaim(f"its row group {number} claims {group_rows:,} rows in {group.num_columns} columns")
        rows += group_rows
        for place in range(len(leaves)):
            chunk = group.column(place)
            values, size = chunk.num_values, chunk.total_compressed_size
            start = chunk.data_page_offset
            if first := chunk.dictionary_page_offset:
                start = min(start, first)
            is_outside = start < (MAGIC_BYTES if group_rows else 0) or start + size > end  # pyarrow's own, without rows
            if size < 0 or is_outside or chunk.total_uncompressed_size < 0:
                raise FalseClaim(
                    f"row group {number}, column {leaves[place].path!r}: claims bytes {start:,} to {start + size:,}, "
                    f"and the data end at {end:,}"
                )
            if values < group_rows or ((flat[place] or not group_rows) and values != group_rows):
                where = f"row group {number}, column {leaves[place].path!r}"
                raise FalseClaim(f"{where}: claims {values:,} values in {group_rows:,} rows")
            if group_rows:
                chunks.append((start, start + size, number, place))
    if rows != footer.num_rows:
        raise FalseClaim(f"its footer claims {footer.num_rows:,} rows and its row groups {rows:,}")
    chunks.sort()
    for (_, stop, _, _), (start, _, number, place) in pairwise(chunks):
        if start < stop:
            raise FalseClaim(f"row group {number}, column {leaves[place].path!r}: shares bytes with another chunk")


def check_kinds(footer: bytes, schema: pq.ParquetSchema) -> None:
    """See that every column chunk is of a kind that there is, before pyarrow is asked for one.

    pyarrow 26 ends the process, instead of raising, where a chunk's codec is none, its statistics of sizes do not fit
    its levels, or it is encrypted. Costs some 20 us a chunk.

    Raises:
        FalseClaim: names the row group.
    """
    try:
        claims, _ = read_struct(footer, wanted=KINDS)
        levels = [schema.column(leaf) for leaf in range(len(schema))]
        for number, group in enumerate(claims.get(4) or ()):
            chunks = group.get(1) or ()
            if len(chunks) != len(levels):
                raise FalseClaim(
                    f"row group {number} has {len(chunks)} column chunks, and there are {len(levels)} columns"
                )
            for leaf, chunk in zip(levels, chunks, strict=True):
                if not is_known(chunk, leaf):
                    raise FalseClaim(f"row group {number}, column {leaf.path!r}: is encrypted, or of no kind there is")
    except (TooShort, Malformed, AttributeError, TypeError, KeyError):
        raise FalseClaim("its footer is damaged") from None


def is_known(chunk: dict[int, Any], leaf: pq.ColumnSchema) -> bool:
    """Whether ColumnChunk of parquet.thrift has a codec that there is, and statistics of sizes that fit the column."""
    meta = chunk[3]
    if chunk.keys() & {8, 9} or meta.get(4, 0) not in CODECS:
        return False
    sizes = meta.get(16)
    if sizes is None:
        return True
    repeated, defined = (len(sizes.get(field) or ()) for field in (2, 3))
    fits = repeated in (0, leaf.max_repetition_level + 1) and defined in (0, leaf.max_definition_level + 1)
    return fits and (1 not in sizes or leaf.physical_type == "BYTE_ARRAY")


def check_types(schema: pa.Schema) -> None:
    """See that a plan can hold the types: deeper ones are not read back.

    Raises:
        FalseClaim: names the column.
    """
    for field in schema:
        if depth_of(field.type) > DEEPEST_TYPE:
            raise FalseClaim(f"its column {field.name!r} is nested more than {DEEPEST_TYPE} levels deep")


def depth_of(kind: pa.DataType) -> int:
    """Levels of a type within which others lie."""
    pending, deepest = [(kind, 1)], 0
    while pending:
        kind, depth = pending.pop()
        deepest = max(deepest, depth)
        if pa.types.is_dictionary(kind):
            pending.append((kind.value_type, depth + 1))
        pending += [(kind.field(place).type, depth + 1) for place in range(kind.num_fields)]
    return deepest
