"""The rows of a request that name an address, replaced by what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request

from models.spec import InputColumn
from service.disconnect import while_connected
from service.door.bodies import Body
from service.serving import serving_of


async def fetch_rows(request: Request, column: InputColumn, rows: Sequence[Any]) -> Sequence[Any]:
    """The rows, with the bytes, or the RowFault, in place of `{"uri": ...}` in an image column.

    Where the operator lists no prefix the rows stay as they are: such a row is then at fault.

    Raises:
        ServiceError: there is no room for what was read, or the caller has gone.
    """
    fetcher = serving_of(request).fetcher
    if column.kind != "image" or not fetcher.allowed:
        return rows
    uris = {position: uri for position, row in enumerate(rows) if (uri := uri_of(column.name, row)) is not None}
    if not uris:
        return rows
    body: Body = request.scope["tandem.body"]
    found = await while_connected(request, fetcher.fetch_all(list(uris.values()), body))
    fetched = dict(zip(uris, found, strict=True))
    return [fetched.get(position, row) for position, row in enumerate(rows)]


def uri_of(column: str, row: Any) -> str | None:
    """The address that a row names, as `{"uri": ...}` or `{column: {"uri": ...}}`."""
    value = row[column] if isinstance(row, Mapping) and set(row) == {column} else row
    uri = value.get("uri") if isinstance(value, Mapping) and set(value) == {"uri"} else None
    return uri if isinstance(uri, str) else None
