"""POST /predict: read the body as what it is, answer its rows, and give them back as what is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from service.json_bodies import answer_object
from service.lanes.lane import Lane
from service.operations import BYTES, Answered, Operation, Parameter
from service.predict import HEADERS, Predicted, find_lane, predict_rows
from service.protocols.predict.json_body import BodyInvalid, read_request
from service.protocols.predict.lines import predict_lines
from service.protocols.predict.media import JSON, LINES, TABLES, choose_answer, read_content_type
from service.protocols.predict.tables import UNPACKED_TIMES, join_answers, read_table, take_values, write_table
from service.protocols.predict.weigh import spelled_bytes
from service.schemas import BodyProblems, ErrorResponse, PredictRequest, PredictResponse, Problem
from service.serving import serving_of

EXAMPLE = {"model": "bbc-bert", "rows": [{"text": "The chancellor raised interest rates."}]}
REFUSED = {JSON: ErrorResponse}
WHOSE = {
    "X-Tandem-Model": "`name:version` of the model that answered",
    "X-Tandem-Digest": "sha256 over the model's files",
    "X-Tandem-Variant": "runtime and precision that answered",
}


async def predict(request: Request) -> Response:
    """Answer each row with a prediction or an error of its own, in the order of the rows."""
    media = read_content_type(request.headers.get("content-type", ""))
    answer = choose_answer(request.headers.get("accept", ""), body=media)
    if media == LINES:
        return await predict_lines(request, named_model(request))
    if media == JSON:
        wanted = read_request(await request.body(), model=request.query_params.get("model"))
        found = await predict_rows(request, wanted.model, wanted.rows)
        if answer == JSON:
            return await answer_json(found)
        table, encoded = None, found.lane.spec.column
    else:
        model, body = named_model(request), await request.body()
        lane = find_lane(request, model)  # behind the body: until it has come, the name may mean another version
        column = request.query_params.get("column")
        table, values = await unpack(request, body, media, lane, column)
        encoded = column or lane.spec.column
        found = await predict_rows(request, lane.tag, [{lane.spec.column: value} for value in values])
        if answer == JSON:
            return await answer_json(found)
    joined = await asyncio.to_thread(join_answers, table, encoded, found.answers, found.lane.spec)
    return Response(await asyncio.to_thread(write_table, joined, answer), media_type=answer, headers=whose(found))


async def unpack(
    request: Request, body: bytes, media: str, lane: Lane, column: str | None
) -> tuple[pa.Table, Sequence[Any]]:
    """The table of a body, and the values of the model's column. Few at a time; what they take counts as bodies do."""
    serving = serving_of(request)
    max_rows = serving.settings.lanes.max_queue_rows
    max_bytes = UNPACKED_TIMES * serving.settings.door.max_body_bytes

    def read() -> tuple[pa.Table, Sequence[Any]]:
        table = read_table(body, media, max_rows=max_rows, max_bytes=max_bytes)
        return table, take_values(table, lane.spec, column)

    async with serving.unpacking:
        table, values = await asyncio.to_thread(read)
        request.scope["tandem.body"].hold_among_all(spelled_bytes(table))
    return table, values


def named_model(request: Request) -> str:
    """What `?model=` says.

    Raises:
        BodyInvalid: it says nothing.
    """
    model = request.query_params.get("model", "")
    if not model:
        said = "it is missing: rows that are no JSON object are sent to /predict?model=NAME"
        raise BodyInvalid([Problem(loc=["model"], msg=said)])
    return model


async def answer_json(found: Predicted) -> Response:
    """The answers as a PredictResponse, which is not made: it would look at every number once more."""
    lane = found.lane
    whose = {"model": lane.tag, "digest": lane.digest, "variant": lane.variant}
    return await answer_object({**whose, "predictions": found.answers})


def whose(found: Predicted) -> dict[str, str]:
    lane = found.lane
    return {"X-Tandem-Model": lane.tag, "X-Tandem-Digest": lane.digest, "X-Tandem-Variant": lane.variant}


TABLE_BODIES = dict.fromkeys(TABLES, BYTES)
LINE_SCHEMA = {"type": "string", "description": "One JSON value a line"}
OPERATIONS = (
    Operation(
        method="POST",
        path="/predict",
        handle=predict,
        action="predict",
        summary="Answer rows",
        tag="Predict",
        body={JSON: PredictRequest, **TABLE_BODIES, LINES: LINE_SCHEMA},
        example=EXAMPLE,
        parameters=(
            Parameter(name="model", place="query", description="`name` or `name:version`; a JSON body may say it",
                      schema={"type": "string", "minLength": 1}),
            Parameter(name="column", place="query", description="What a table calls the model's input column",
                      schema={"type": "string"}),
            *HEADERS,
        ),
        answers={
            200: Answered(description="One answer a row, in order",
                          content={JSON: PredictResponse, **TABLE_BODIES, LINES: LINE_SCHEMA}, headers=WHOSE),
            400: Answered(description="The body is not of the request's shape; each field is named",
                          content={JSON: BodyProblems}),
            404: Answered(description="A model that is not served here", content=REFUSED),
            406: Answered(description="Accept names nothing that can be given", content=REFUSED),
            408: Answered(description="The body came too slowly, or lines ended before their first answer",
                          content=REFUSED),
            409: Answered(description="Address and body name different models", content=REFUSED),
            413: Answered(description="A body or a number of rows beyond the limit", content=REFUSED),
            415: Answered(description="A body of a kind that is not read here", content=REFUSED),
            500: Answered(description="The model broke down; no row could be singled out", content=REFUSED),
            503: Answered(description="Too much waits; see Retry-After", content=REFUSED,
                          headers={"Retry-After": "Seconds until another try is worthwhile"}),
            504: Answered(description="X-Request-Timeout passed", content=REFUSED),
        },
    ),
)  # fmt: skip
