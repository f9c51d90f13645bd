"""The door: every request passes it, whatever its path, before anything of it is read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from service.door.audit import Audit
from service.door.bind import is_public
from service.door.bodies import Bodies
from service.door.errors import KeyMissing, NothingHere, PublicAddress, ScopeMissing
from service.door.guard import PROBES, Asked, Guard
from service.door.key import EVERYBODY, NOBODY, Key
from service.door.key_ring import KeyRing
from service.door.origin import check_host, check_origin
from service.door.rate import Rates
from service.door.response_headers import add_headers, answer_preflight
from service.door.settings import DoorSettings
from service.errors import ServiceError
from service.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from service.operations import Operation


class Door:
    """ASGI middleware: lets a request in or says why not.

    In this order: where it comes from (Host, Origin), whose key it brings, whether that key may do what the path means,
    how fast it asks, and how large a body it may send. Behind it `scope["tandem.key"]` is a Key, always.
    Costs 25 microseconds of processor time a request with ten keys, and 70 more for an audit line,
    most of them in the thread that writes it.

    Raises:
        KeyFileInvalid: keys are named and cannot be read.
    """

    def __init__(self, app: ASGIApp, *, settings: DoorSettings, operations: Iterable[Operation]) -> None:
        self.app, self.settings = app, settings
        self.guard, self.rates = Guard(operations), Rates()
        self.ring = KeyRing(settings.keys) if settings.keys else None
        self.bodies = Bodies(settings)
        self.audit = Audit(settings.audit_log)
        if self.ring is not None:
            self.ring.watch()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await asyncio.to_thread(self.close)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope["tandem.key"], status, origin = NOBODY, 500, ""
        asked = self.guard.find(scope["method"], scope["path"])

        async def send_headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                add_headers(message, origin=origin, secure=scope["scheme"] == "https")
            await send(message)

        body = None
        try:
            origin = self.check_source(scope, headers, asked)
            if origin and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await answer_preflight(send_headed)
                return
            key = scope["tandem.key"] = self.find_key(headers)
            scope["tandem.still_let_in"] = lambda: self.find_key(headers) == key
            check_action(key, asked)
            self.rates.take(key)
            body = scope["tandem.body"] = self.bodies.open(scope, headers, receive, limit_bytes=key.max_body_bytes)
        except ServiceError as error:
            await refuse(error, scope["path"], send_headed)
            self.audit.write(scope, asked, status=error.status, refused=str(error))
            return
        try:
            await self.app(scope, body.receive, send_headed)
        finally:
            body.close()
            self.audit.write(scope, asked, status=status)

    def close(self) -> None:
        """The server has ended: the last audit lines are written."""
        self.audit.close()
        if self.ring is not None:
            self.ring.close()

    def check_source(self, scope: Scope, headers: Mapping[bytes, bytes], asked: Asked | None) -> str:
        """Is it this server that is meant, and no page from elsewhere that asks? The allowed origin, or nothing."""
        server = str((scope.get("server") or ("",))[0])
        if self.ring is None and not self.settings.allow_anonymous and is_public(server):
            raise PublicAddress(server)  # the start refuses this already; here it holds whatever started us
        local = self.ring is None and not is_public(server)
        if (local or self.settings.allow_hosts) and scope["path"] not in PROBES:
            check_host(headers.get(b"host", b"").decode("latin-1"), self.settings.allow_hosts)
        to_page = asked is not None and asked.action is None and scope["method"] in {"GET", "HEAD"}
        return check_origin(headers, self.settings.cors_origins, to_page=to_page)

    def find_key(self, headers: Mapping[bytes, bytes]) -> Key:
        """Whose request it is."""
        if self.ring is None:
            return EVERYBODY
        presented = presented_key(headers)
        return (self.ring.find(presented) if presented else None) or NOBODY


def check_action(key: Key, asked: Asked | None) -> None:
    """Let the caller do what he asks for, if his key may do so with any model at all.

    Raises:
        ServiceError: KeyMissing, ScopeMissing, or NothingHere: what it is that he may not, or that is not there.
    """
    if asked is None:
        raise NothingHere()
    action = asked.action
    if action is None or (key.reaches_all(action) if asked.all_models else key.may(action)):
        return
    raise KeyMissing() if key is NOBODY else ScopeMissing(key.name, action=action)


def presented_key(headers: Mapping[bytes, bytes]) -> str:
    """The key that a request brings: `Authorization: Bearer KEY`, or `X-Api-Key: KEY`."""
    scheme, _, credentials = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", b"").decode("latin-1")


async def refuse(error: ServiceError, path: str, send: Send) -> None:
    """Answer with an error, in the words that clients of that path read."""
    body = json.dumps(refusal(str(error), status=error.status, path=path)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
