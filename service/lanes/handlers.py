"""GET /lanes: what waits for each model, and what became of what came."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.door.access import may_see
from service.lanes.load import LaneLoads
from service.operations import Answered, Operation
from service.serving import serving_of


async def lanes(request: Request) -> Response:
    """The lanes of the models that the caller may know of."""
    found = [lane.load() for lane in serving_of(request).models if may_see(request, "predict", lane.tag)]
    return JSONResponse(LaneLoads(lanes=found).model_dump())


OPERATIONS = (
    Operation(
        method="GET",
        path="/lanes",
        handle=lanes,
        action="predict",
        summary="What waits for each model, and how fast it is answered",
        tag="Models",
        answers={200: Answered(description="One entry a model", content={"application/json": LaneLoads})},
    ),
)
