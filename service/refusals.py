"""Refusals: what a request that is not answered is told, in one form: `{"error": "..."}`."""

from __future__ import annotations

import logging

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.spec import first_problem
from service.errors import RequestInvalid, ServiceError

log = logging.getLogger("bentoml.tandem")

#: A client's mistake is said in the log too, cut to so many characters.
MOST_SAID = 300


async def answer_error(request: Request, error: Exception) -> Response:
    """The reply to a ServiceError."""
    assert isinstance(error, ServiceError)
    if error.status == 400:
        log.warning("refused a request: %s", str(error)[:MOST_SAID])
    return JSONResponse({"error": str(error)}, status_code=error.status, headers=dict(error.headers))


async def answer_bug(request: Request, error: Exception) -> Response:
    """The reply to what nobody foresaw: nothing of ours is told; the log has it."""
    log.error("request failed: %s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "The server failed over this request; its log says how."}, status_code=500)


def wrong_shape(error: ValidationError | ValueError) -> RequestInvalid:
    """What is wrong with a body, by its first problem."""
    if isinstance(error, ValidationError):
        return RequestInvalid(first_problem(error))
    return RequestInvalid(f"body: no JSON: {str(error)[:200]}")
