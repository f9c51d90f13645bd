"""The rows of a request that name an address, replaced by what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from models.spec import InputColumn
from service.disconnect import while_connected
from service.door.fetch.fetcher import Room
from service.serving import serving_of


async def fetch_rows(request: Request, column: InputColumn, rows: Sequence[Any]) -> Sequence[Any]:
    """The rows, with the bytes, or the RowFault, in place of `{"uri": ...}` in an image column.

    Where the operator lists no prefix the rows stay as they are: such a row is then at fault.

    Raises:
        ServiceError: there is no room for what was read, or the caller has gone.
    """
    named = uris_of(request, column, rows)
    if not named:
        return rows
    return await while_connected(request, fetch_named(request, named, rows, request.scope["tandem.body"]))


async def fetch_named(request: Request, named: Mapping[int, str], rows: Sequence[Any], room: Room) -> Sequence[Any]:
    """The same for whoever sees to it himself that the caller is still there, of rows that name these addresses.

    Raises:
        ServiceError: what the room says.
    """
    found = await serving_of(request).fetcher.fetch_all(list(named.values()), room)
    fetched = dict(zip(named, found, strict=True))
    return [fetched.get(position, row) for position, row in enumerate(rows)]


def may_name(request: Request, column: InputColumn) -> bool:
    """Whether rows may name addresses at all."""
    return column.kind == "image" and bool(serving_of(request).fetcher.allowed)


def uris_of(request: Request, column: InputColumn, rows: Sequence[Any]) -> dict[int, str]:
    """The addresses that rows name, by their positions."""
    if not may_name(request, column):
        return {}
    return {position: uri for position, row in enumerate(rows) if (uri := uri_of(column.name, row)) is not None}


def uri_of(column: str, row: Any) -> str | None:
    """The address that a row names, as `{"uri": ...}` or `{column: {"uri": ...}}`."""
    value = row[column] if isinstance(row, Mapping) and set(row) == {column} else row
    uri = value.get("uri") if isinstance(value, Mapping) and set(value) == {"uri"} else None
    return uri if isinstance(uri, str) else None
