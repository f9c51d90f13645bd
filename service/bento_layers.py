"""BentoML's own layers around every request: without those that cost each one something and give us nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Nothing:
    """ASGI middleware that passes everything on."""

    def __init__(self, app: ASGIApp, **_: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def leave_layers_out() -> None:
    """Have BentoML's applications, made in this process from now on, without two of its layers.

    Its time limit would end answers that were promised, for deadlines are the lanes'; and it starts a timer for each
    request that nobody stops, so that 5 KB of every request are held until the limit is over. Its spans are made for
    every request, traced or not, and cost half a millisecond; ours are in service/observe/spans.py.
    """
    from bentoml._internal.server.http import traffic
    from opentelemetry.instrumentation import asgi

    for module, name in ((traffic, "TimeoutMiddleware"), (asgi, "OpenTelemetryMiddleware")):
        assert hasattr(module, name), f"BentoML's layer {name} has another name now"
        vars(module)[name] = Nothing
