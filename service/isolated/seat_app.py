"""The HTTP of a model's process: GET says hello, POST takes a question. Nothing of BentoML's answers here."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from service.isolated.messages import Said


class SeatApp:
    """ASGI middleware that passes on only that the process begins and ends: BentoML makes the Slot then."""

    def __init__(self, app: ASGIApp) -> None:
        from service.isolated.seat import Seat  # what runs models is for the process that this is, not for all

        self.app, self.seat = app, Seat()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "GET":
            said: Said = self.seat.hello()
        else:
            said = await self.seat.answer(pickle.loads(await read_body(receive)))
        body = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
