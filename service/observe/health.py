"""GET /livez, /healthz and /readyz: what an orchestrator asks, without a key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.operations import Answered, Operation, Schema
from service.serving import serving_of

TEXT: dict[str, Schema] = {"text/plain": {"type": "string"}}


async def live(request: Request) -> Response:
    """The process answers; nothing is asked of the models."""
    return PlainTextResponse("live\n")


async def ready(request: Request) -> Response:
    """Every model that is served can answer."""
    if serving_of(request).ready:
        return PlainTextResponse("ready\n")
    return PlainTextResponse("not ready: a model cannot answer\n", status_code=503)


LIVE = {200: Answered(description="The process answers", content=TEXT)}
OPERATIONS = (
    Operation(
        method="GET", path="/livez", handle=live, action=None, summary="Is the process alive?", tag="Operation",
        answers=LIVE,
    ),
    Operation(
        method="GET", path="/healthz", handle=live, action=None, summary="The same as /livez", tag="Operation",
        answers=LIVE,
    ),
    Operation(
        method="GET", path="/readyz", handle=ready, action=None, summary="Can every model answer?", tag="Operation",
        answers={
            200: Answered(description="Every model can answer", content=TEXT),
            503: Answered(description="A model cannot answer, now or yet", content=TEXT),
        },
    ),
)  # fmt: skip
