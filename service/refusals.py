"""Refusals: what a request that is not answered is told, in one form: `{"error": "..."}`."""

from __future__ import annotations

import json
import logging
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.spec import first_problem
from service.door.access import unknown_model
from service.errors import RequestInvalid, ServiceError, UnknownModel
from service.observe.seen import seen_of
from service.protocols.openai_errors import openai_error

log = logging.getLogger("bentoml.tandem")

#: A client's mistake is said in the log too, cut to so many characters.
MOST_SAID = 300


class PlainJSON(JSONResponse):
    """JSON in ASCII: what is quoted of a caller's may hold halves of characters, for which UTF-8 has no bytes."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


async def answer_error(request: Request, error: Exception) -> Response:
    """The reply to a ServiceError."""
    assert isinstance(error, ServiceError)
    if isinstance(error, UnknownModel):
        error = unknown_model(request, error.name)  # whoever raised it, it lists what this caller may know of
    said = str(error)[:MOST_SAID], seen_of(request.scope).request_id
    if error.status == 400:
        log.warning("refused a request: %s (request %s)", *said)
    elif error.status == 500:
        log.error("request failed: %s (request %s)", *said)
    said_so = refusal(str(error), status=error.status, path=request.url.path, param=getattr(error, "param", None))
    if isinstance(error, RequestInvalid) and error.detail and "detail" not in said_so:
        said_so["detail"] = error.detail
    return PlainJSON(said_so, status_code=error.status, headers=dict(error.headers))


async def answer_gone(request: Request, error: Exception) -> Response:
    """The reply to a caller who left while he sent his body: nobody reads it."""
    return Response(status_code=499)


async def answer_bug(request: Request, error: Exception) -> Response:
    """The reply to what nobody foresaw: nothing of ours is told; service/observe/watch.py logs it."""
    said = "The server failed over this request; its log says how."
    return JSONResponse(refusal(said, status=500, path=request.url.path), status_code=500)


def refusal(message: str, *, status: int, path: str, param: str | None = None) -> dict[str, Any]:
    """The body of an answer that is none, in the words that clients of that path read."""
    if path == "/v1" or path.startswith("/v1/"):
        return openai_error(message, status=status, param=param).model_dump()
    return {"error": message}


def wrong_shape(error: ValidationError | ValueError) -> RequestInvalid:
    """What is wrong with a body, by its first problem."""
    if isinstance(error, ValidationError):
        return RequestInvalid(first_problem(error))
    return RequestInvalid(f"body: no JSON: {str(error)[:200]}")
