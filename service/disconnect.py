"""Stop working for a caller who has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from service.errors import CallerGone

if TYPE_CHECKING:
    from starlette.requests import Request

Answer = TypeVar("Answer")


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Await the work, and cancel it as soon as the caller closes the connection.

    Once a body has been read, the next message that the server receives for its request is the disconnect: waiting for
    it costs a task and no polling.

    Raises:
        CallerGone: the connection was closed first.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise CallerGone()
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
