"""The application that answers: every room's operations, found before BentoML's own pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import bentoml
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Match, Route

from service import docs
from service.errors import ServiceError
from service.jobs import operations as jobs
from service.lanes import handlers as lanes
from service.observe import health, metrics
from service.observe.seen import seen_of
from service.openapi import describe
from service.operations import Handler, Operation
from service.protocols import models_json, openai
from service.protocols.predict import handlers as predict
from service.protocols.v2 import operations as v2
from service.refusals import answer_bug, answer_error, answer_gone, refusal
from service.ui import handlers as ui

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPERATIONS: tuple[Operation, ...] = (
    *predict.OPERATIONS,
    *models_json.OPERATIONS,
    *lanes.OPERATIONS,
    *jobs.OPERATIONS,
    *v2.OPERATIONS,
    *openai.OPERATIONS,
    *ui.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
    *docs.OPERATIONS,
)


def make_app() -> Starlette:
    """An ASGI application to mount at /; its lifespan is the server's."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        serving = app.state.serving = bentoml.get_current_service().serving
        app.state.page = describe(OPERATIONS, asks_keys=serving.settings.door.keys is not None)
        await serving.start()
        yield
        await serving.stop()

    handlers: dict[str, dict[str, Handler]] = {}
    for one in OPERATIONS:
        handlers.setdefault(one.path, {})[one.method] = one.handle
    # Tried one after another, twice a request: as listed, what is asked for most first; plain paths before patterns.
    paths = sorted(handlers, key=lambda path: "{" in path)
    routes = [Route(path, route_handler(handlers[path])) for path in paths]
    for route in routes:
        route.methods = None  # every method comes to our handler, which says in our words what is not answered
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={ServiceError: answer_error, ClientDisconnect: answer_gone, Exception: answer_bug},
    )


def route_handler(handlers: dict[str, Handler]) -> Handler:
    """Answer every method of a path by its own handler, and others with 405 in our own words."""
    allowed = ", ".join(sorted({*handlers, *(["HEAD"] if "GET" in handlers else [])}))

    async def handle(request: Request) -> JSONResponse:
        handler = handlers.get("GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method)
        if handler is None:
            said = f"{request.method} is not answered here; {request.url.path} takes {allowed}."
            body = refusal(said, status=405, path=request.url.path)
            return JSONResponse(body, status_code=405, headers={"Allow": allowed})
        return await handler(request)  # type: ignore[return-value]

    return handle


def find_route(app: Starlette, scope: Scope) -> str | None:
    """The path of the operation that a request is for, such as `/jobs/{id}`; None where there is none."""
    for route in app.router.routes:
        if route.matches(scope)[0] != Match.NONE:
            return str(getattr(route, "path", None))
    return None


class Ours:
    """ASGI middleware: paths of ours are answered by our application, all others by BentoML's."""

    def __init__(self, app: ASGIApp, *, ours: Starlette) -> None:
        self.app, self.ours = app, ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] == "http" and seen_of(scope).route is not None
        await (self.ours if is_ours else self.app)(scope, receive, send)
