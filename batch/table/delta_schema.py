"""Arrow's types in Delta's words, and the columns that Delta has no word for, refused before anything is paid for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from batch.errors import TableRefused

#: Delta without column mapping has no names with these in them, as Parquet in Spark has not.
_UNNAMEABLE = " ,;{}()\n\t="
_PLAIN: Mapping[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "byte",
    pa.int16(): "short",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.uint8(): "short",
    pa.uint16(): "integer",
    pa.uint32(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    pa.binary_view(): "binary",
    pa.date32(): "date",
    pa.date64(): "date",
}


class NoDeltaType(Exception):
    """Delta has no type for these values."""


def delta_schema(url: str, columns: pa.Schema) -> str:
    """The columns as the log's `schemaString`; every one may be null there.

    Raises:
        TableRefused: a column has a name or a type that Delta has not, or its name twice but for upper and lower case.
    """
    fields, taken = [], dict[str, str]()
    for column in columns:
        if bad := sorted(set(column.name) & set(_UNNAMEABLE)):
            raise refuse(url, column.name, f"has {bad[0]!r} in its name, which a Delta table's columns may not")
        if (other := taken.setdefault(column.name.lower(), column.name)) != column.name:
            raise refuse(url, column.name, f"differs from {other!r} by upper and lower case only, which Delta ignores")
        try:
            fields.append(delta_field(column.name, column.type))
        except NoDeltaType as error:
            raise refuse(url, column.name, f"is {error}, which a Delta table does not hold") from None
    return json.dumps({"type": "struct", "fields": fields}, separators=(",", ":"))


def refuse(url: str, column: str, reason: str) -> TableRefused:
    advice = "Leave it out with --keep, or write it otherwise."
    return TableRefused(url, f"the column {column!r} {reason}", advice=advice)


def delta_field(name: str, kind: pa.DataType) -> dict[str, Any]:
    return {"name": name, "type": delta_type(kind), "nullable": True, "metadata": {}}


def delta_type(kind: pa.DataType) -> Any:
    """One type.

    Raises:
        NoDeltaType: named in Arrow's words.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return delta_type(kind.storage_type)
    if pt.is_dictionary(kind):
        return delta_type(kind.value_type)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if pt.is_fixed_size_binary(kind):
        return "binary"
    if pt.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    if pt.is_decimal(kind) and kind.precision <= 38:
        return f"decimal({kind.precision},{kind.scale})"
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return {"type": "array", "elementType": delta_type(kind.value_type), "containsNull": True}
    if pt.is_struct(kind):
        return {"type": "struct", "fields": [delta_field(field.name, field.type) for field in kind]}
    if pt.is_map(kind):
        key, value = delta_type(kind.key_type), delta_type(kind.item_type)
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
    raise NoDeltaType(str(kind))


def has_naive_timestamps(schema: str) -> bool:
    """Whether readers have to know timestamps without a zone, which is a feature of its own."""
    return '"timestamp_ntz"' in schema
