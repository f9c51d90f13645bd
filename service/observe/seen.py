"""Seen: what is known of one request, for the log, the metrics, the spans and the answer's headers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

    from service.observe.spans import RequestSpan

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
KEY = "tandem.seen"


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request, from its head to the end of its answer; whoever answers it fills in what he knows.

    Attributes:
        request_id: the caller's, or one that was made.
        route: the operation's path, such as `/jobs/{id}`; None where no operation answers it.
        span: of OpenTelemetry; None where it is not asked for, or this one is not sampled.
        trace_id: of the span, as tracing tools show it.
    """

    request_id: str
    route: str | None = None
    span: RequestSpan | None = None
    trace_id: str | None = None


def seen_of(scope: Scope) -> Seen:
    """What is known of a request so far."""
    found = scope.get(KEY)
    if found is None:  # an application that is asked without the middleware, as tests do
        found = scope[KEY] = Seen(request_id=make_request_id())
    assert isinstance(found, Seen)
    return found


def read_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's X-Request-Id where it is short and plain, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return make_request_id()


def make_request_id() -> str:
    return secrets.token_hex(8)
