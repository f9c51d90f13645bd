"""Fields: a JSON object as a dataclass. What a newer server says besides is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

Shape = TypeVar("Shape")


def read_fields(shape: type[Shape], said: Any, **known: Any) -> Shape:
    """The object as a dataclass.

    Args:
        shape: the dataclass.
        said: the JSON object.
        known: fields that are settled already.

    Raises:
        ValueError: it is no object, or lacks a field.
    """
    if not isinstance(said, Mapping):
        raise ValueError(f"expected an object, found {say(said)}")
    values = dict(known)
    for field in fields(shape):  # type: ignore[arg-type]
        if field.name in values:
            continue
        if field.name in said:
            values[field.name] = said[field.name]
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{field.name!r} is missing in {say(said)}")
    return shape(**values)


def read_list(said: Any, name: str) -> list[Any]:
    """The list under a name.

    Raises:
        ValueError: there is none.
    """
    found = said.get(name) if isinstance(said, Mapping) else None
    if not isinstance(found, list):
        raise ValueError(f"expected an object with a list {name!r}, found {say(said)}")
    return found


def say(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
