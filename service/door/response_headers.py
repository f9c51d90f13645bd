"""Headers that every answer carries, whoever gave it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Send

#: Where the answer has none of its own: the page under /ui has a policy for its scripts.
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
EXPOSED = b"X-Request-Id, Retry-After, Location, Inference-Header-Content-Length"
PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE"),
    (
        b"access-control-allow-headers",
        (
            b"Authorization, X-Api-Key, Content-Type, Content-Encoding, Accept, X-Request-Id, X-Request-Timeout, "
            b"X-Request-Priority, Inference-Header-Content-Length, Idempotency-Key, Last-Event-ID"
        ),
    ),
    (b"access-control-max-age", b"600"),
)


def add_headers(message: Message, *, origin: str, secure: bool) -> None:
    """Add them to the start of a response.

    Args:
        message: it is changed.
        origin: a page from elsewhere that may read the answer; empty for none.
        secure: whether it goes over TLS.
    """
    headers = message["headers"] = list(message.get("headers", ()))
    there = {name.lower() for name, _ in headers}
    headers += [header for header in SAFE if header[0] not in there]
    if secure:
        headers.append(HSTS)
    if origin:
        headers += [
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-expose-headers", EXPOSED),
            (b"vary", b"Origin"),
        ]


async def answer_preflight(send: Send) -> None:
    """Tell the browser of a page that may ask what it may ask with; a key is asked for with the request itself."""
    await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
    await send({"type": "http.response.body", "body": b""})
