"""A limit to the size of a request's body: BentoML has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than `max_bytes`, announced or streamed.

    An announced size is refused before a byte is read. OPTIONS passes: a preflight has no body.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self.app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self.max_bytes:
            await self.refuse(send)
            return
        received, refused = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # The application is told that the client has gone: it stops reading, and what it says is not sent.
            return {"type": "http.disconnect"} if received > self.max_bytes else message

        async def send_unless_refused(message: Message) -> None:
            nonlocal refused
            if received <= self.max_bytes:
                await send(message)
            elif not refused:
                refused = True
                await self.refuse(send)

        await self.app(scope, receive_counted, send_unless_refused)

    async def refuse(self, send: Send) -> None:
        limit = self.max_bytes // (1024 * 1024)
        body = json.dumps(
            {
                "error": f"body: larger than {limit} MiB (TANDEM_MAX_BODY_MB). Send the rows in several requests; "
                "for whole files there is: tandem run."
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})
