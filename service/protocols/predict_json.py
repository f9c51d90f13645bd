"""POST /predict: rows and answers as JSON."""

from __future__ import annotations

import json

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.operations import Answered, Operation
from service.predict import predict_rows
from service.refusals import wrong_shape
from service.schemas import ErrorResponse, PredictRequest, PredictResponse

EXAMPLE = {"model": "bbc-bert", "rows": [{"text": "The chancellor raised interest rates."}]}
REFUSED = {"application/json": ErrorResponse}


async def predict(request: Request) -> Response:
    """Answer each row with a prediction or an error of its own, in the order of the rows."""
    try:
        wanted = PredictRequest.model_validate(json.loads(await request.body()))
    except (ValidationError, ValueError) as error:
        raise wrong_shape(error) from None
    found = await predict_rows(request, wanted.model, wanted.rows)
    answer = PredictResponse(
        model=found.lane.tag, digest=found.lane.digest, variant=found.lane.variant, predictions=found.answers
    )
    return JSONResponse(answer.model_dump())


OPERATIONS = (
    Operation(
        method="POST",
        path="/predict",
        handle=predict,
        action="predict",
        summary="Answer rows",
        tag="Predict",
        body={"application/json": PredictRequest},
        example=EXAMPLE,
        answers={
            200: Answered(description="One answer a row, in order", content={"application/json": PredictResponse}),
            400: Answered(description="The body is no JSON, or not of the request's shape", content=REFUSED),
            404: Answered(description="A model that is not served here", content=REFUSED),
            413: Answered(description="A body or a number of rows beyond the limit", content=REFUSED),
            500: Answered(description="The model broke down; no row could be singled out", content=REFUSED),
            503: Answered(description="Too much waits; see Retry-After", content=REFUSED, headers={"Retry-After": "s"}),
        },
    ),
)
