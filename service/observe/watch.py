"""Watch: the outermost layer. Every request is counted, logged where asked for, and answered with its id."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from service.observe.access_log import AccessLine
from service.observe.seen import KEY, Seen, read_request_id
from service.routes import find_route
from service.serving import Serving

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("bentoml.tandem")

FAILED = b'{"error":"The server failed over this request; its log says how."}'


class Watch:
    """ASGI middleware around everything else, refusals of the door included.

    What nobody foresaw is answered with 500 here: BentoML's own layers would leave the caller waiting.
    """

    def __init__(self, app: ASGIApp, *, ours: Starlette) -> None:
        self.app, self.ours = app, ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        serving: Serving = self.ours.state.serving
        seen = scope[KEY] = Seen(request_id=read_request_id(scope["headers"]))
        scope["tandem.request_id"] = seen.request_id
        seen.route = find_route(self.ours, scope)
        begun, status, received, sent, whole = time.perf_counter(), 0, 0, 0, False
        serving.http.begun()
        if serving.tracing is not None:
            serving.tracing.begin(scope, seen)

        async def receive_seen() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_seen(message: Message) -> None:
            nonlocal status, sent, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", seen.request_id.encode())]
            else:
                sent += len(message.get("body", b""))
                whole = not message.get("more_body", False)
            await send(message)

        try:
            await self.app(scope, receive_seen, send_seen)
        except Exception as error:
            log.error("request failed: %s %s (request %s)", scope["method"], scope["path"], seen.request_id,
                      exc_info=error)  # fmt: skip
            if status and not whole:
                raise  # the connection is cut, so that nobody takes half an answer for a whole one
            if not whole:
                headers = [(b"content-type", b"application/json"), (b"content-length", str(len(FAILED)).encode())]
                await send_seen({"type": "http.response.start", "status": 500, "headers": headers})
                await send_seen({"type": "http.response.body", "body": FAILED})
        finally:
            seconds = time.perf_counter() - begun
            if serving.tracing is not None:
                serving.tracing.end(scope, seen, status=status or 499)
            serving.http.ended(
                route=seen.route, method=scope["method"], status=status or 499, seconds=seconds,
                received_bytes=received, sent_bytes=sent,
            )  # fmt: skip
            if serving.access_log is not None:
                serving.access_log.write(
                    AccessLine(
                        scope=scope, seen=seen, status=status or 499, seconds=seconds, received_bytes=received,
                        sent_bytes=sent,
                    )
                )  # fmt: skip
