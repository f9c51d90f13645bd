"""GET /docs.json: all that is answered here, as OpenAPI says it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.components import a, closed
from service.operations import Answered, Operation


async def docs(request: Request) -> Response:
    """The page, made once at the start."""
    return JSONResponse(request.app.state.page)


OPENAPI = closed(
    {
        "openapi": {"type": "string", "const": "3.1.0"},
        **{part: {"type": "object", "additionalProperties": a("Value")} for part in ("info", "paths", "components")},
        "servers": {"type": "array", "items": a("Value")},
    },
    "OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.0",
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/docs.json",
        handle=docs,
        action=None,
        summary="This description",
        tag="Operation",
        answers={200: Answered(description="An OpenAPI page", content={"application/json": OPENAPI})},
    ),
)
