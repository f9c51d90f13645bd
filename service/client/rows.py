"""Rows: what a caller has, as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from service.client.errors import RowsInvalid


def refuse_no_rows(rows: Any) -> None:
    """Refuse what can be iterated over and is no list of rows.

    Raises:
        RowsInvalid: a text, bytes, one row's columns, or a table.
    """
    if isinstance(rows, str | bytes | bytearray | memoryview):
        raise RowsInvalid(f"{type(rows).__name__}", advice="One row is sent as [row].")
    if isinstance(rows, Mapping):
        raise RowsInvalid("a mapping", advice="One row is sent as [row].")
    if hasattr(rows, "columns"):
        raise RowsInvalid(f"a {type(rows).__name__}", advice='Send one of its columns, such as frame["text"].')
    if not (isinstance(rows, Iterable) or hasattr(rows, "__aiter__")):
        raise RowsInvalid(f"{type(rows).__name__}", advice="One row is sent as [row].")


def write_row(row: Any) -> bytes:
    """A row as JSON: an object by the model's column, or the bare value.

    Bytes become base64, as pictures travel; arrays (NumPy, Arrow, pandas) become lists; NaN and infinity become null.

    Raises:
        RowsInvalid: a value that no JSON stands for.
    """
    try:
        try:
            return dump(row)
        except ValueError:  # numbers that JSON has none for: the row is at fault, and not the request
            return dump(finite(row))
    except (TypeError, ValueError, RecursionError) as error:
        raise RowsInvalid(f"a row of {type(row).__name__}", advice=f"It cannot be sent: {error}.") from None


def dump(row: Any) -> bytes:
    return json.dumps(row, default=plain, separators=(",", ":"), allow_nan=False).encode()


def finite(value: Any) -> Any:
    """The value, with null in place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value if value is None or isinstance(value, str | int) else finite(plain(value))


def plain(value: Any) -> Any:
    """What json does not know."""
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    for name in ("tolist", "as_py"):
        if hasattr(value, name):
            return getattr(value, name)()
    raise TypeError(f"{type(value).__name__} is neither text, number, bytes, list nor array")
