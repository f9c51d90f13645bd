"""The values of an input column, one by one, whatever holds them; and what is said of those that are of no use."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.model import RowFault, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A value that Arrow holds and Python cannot, such as text that is not UTF-8."""

    reason: str


class FaultFound(Exception):
    """Carries a row's fault out of the step that found it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.fault = RowFault(kind=kind, message=message)


def iterate_values(values: Values) -> Iterator[Any]:
    """Yield what is in each row: None, bytes, str, a NumPy array for nested numbers of one shape, or anything else.

    An Arrow column's nested numbers become arrays without a Python list in between. Never raises for a row's sake.
    """
    if isinstance(values, pa.ChunkedArray):
        for chunk in values.chunks:
            yield from iterate_values(chunk)
    elif isinstance(values, pa.Array):
        values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
        kind = values.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
            with suppress(UnicodeDecodeError):
                yield from values.to_pylist()
                return
        if is_list(kind) and (rows := read_regular(values)) is not None:
            yield from rows
            return
        for scalar in values:
            yield read_scalar(scalar)
    else:
        yield from values


def read_regular(values: Any) -> list[NDArray[Any] | None] | None:
    """The rows of a column of nested numbers of one shape, as views of one array; None where they are of several.

    A row may be null; nothing in it may.
    """
    rows = nested_to_numpy(values.drop_null())
    if rows is None or rows.ndim < 2:
        return None
    if not values.null_count:
        return list(rows)
    views = iter(rows)
    return [next(views) if valid else None for valid in values.is_valid().to_pylist()]


def read_scalar(scalar: Any) -> Any:
    """An Arrow scalar as Python has it; nested numbers as an array where they have one shape."""
    if not scalar.is_valid:
        return None
    try:
        if isinstance(scalar, pa.FixedShapeTensorScalar):
            return scalar.to_numpy()
        if isinstance(scalar, pa.ListScalar) and not isinstance(scalar, pa.MapScalar):
            array = nested_to_numpy(scalar.values)
            return scalar.as_py() if array is None else array
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return Unreadable(reason=str(error)[:100])


def nested_to_numpy(values: Any) -> NDArray[Any] | None:
    """Lists of lists of numbers as one array; None where they are ragged, hold nulls, or are no numbers."""
    shape = [len(values)]
    while is_list(values.type):
        sizes = pc.list_value_length(values).unique()
        if values.null_count or len(sizes) != 1:
            return None
        shape.append(sizes[0].as_py())
        values = values.flatten()
    if values.null_count or not is_number(values.type):
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False).reshape(shape))


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list, large, of fixed size or not."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_null(value: Any) -> bool:
    """None, and what pandas writes for it: NaN, NA and NaT."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def null_value(expected: str) -> FaultFound:
    return FaultFound("NullValue", f"expected {expected}, found null")


def wrong_type(expected: str, value: Any) -> FaultFound:
    return FaultFound("WrongType", f"expected {expected}, found {describe(value)}")


def describe(value: Any) -> str:
    """What a value is, in some 60 characters, however large it is."""
    if is_null(value):
        return "null"
    if isinstance(value, Unreadable):
        return f"a value that cannot be read ({value.reason})"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} of {value.dtype}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes that start with {bytes(value[:12])!r}"
    kind = type(value).__name__
    if repr(type(value).__repr__) == repr(object.__repr__):  # would tell an address
        return f"a value of type {kind}"
    return f"{kind} {cut(_SHORT.repr(value))}"


def cut(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
