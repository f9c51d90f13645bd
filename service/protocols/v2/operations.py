"""The protocol's operations, as routing, the door and the OpenAPI page take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.operations import BYTES, Action, Answered, Handler, Operation, Parameter, Schema
from service.predict import HEADERS
from service.protocols.v2 import infer, models, repository
from service.protocols.v2.read_request import LENGTH_HEADER
from service.protocols.v2.schemas import (
    IndexRequest,
    InferRequest,
    InferResponse,
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    Ready,
    RepositoryIndex,
    RepositoryModel,
    RepositoryRequest,
    ServerMetadata,
    Statistics,
)
from service.schemas import ErrorResponse

TAG = "Open Inference Protocol"
REFUSED: Mapping[str, Schema] = {"application/json": ErrorResponse}
NOT_SERVED = Answered(description="A model that is not served here", content=REFUSED)
NO_SHAPE = Answered(description="The body is no JSON, or not of the request's shape", content=REFUSED)
TOO_LARGE = Answered(description="A body or a number of rows beyond the limit", content=REFUSED)
MODEL = Parameter(
    name="model", place="path", description="`name`, or `name:version`", schema={"type": "string"}, required=True
)
VERSION = Parameter(
    name="version", place="path", description="as the model's metadata lists it", schema={"type": "string"},
    required=True,
)  # fmt: skip
JSON_LENGTH = Parameter(
    name=LENGTH_HEADER, place="header", description="bytes of JSON in front of the inputs' bytes",
    schema={"type": "integer", "minimum": 0},
)  # fmt: skip
EXAMPLE = {
    "inputs": [
        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["The chancellor raised interest rates."]}
    ]
}  # fmt: skip


def answered(description: str, schema: Schema) -> Answered:
    return Answered(description=description, content={"application/json": schema})


def get(path: str, handle: Handler, action: Action | None, summary: str, schema: Schema, **more: Answered) -> Operation:
    """A GET; of a model where the path says so."""
    of_model = {404: NOT_SERVED} if "{model}" in path else {}
    return Operation(
        method="GET", path=path, handle=handle, action=action, summary=summary, tag=TAG,
        parameters=parameters_of(path),
        answers={200: answered(summary, schema), **of_model, **{int(status[1:]): one for status, one in more.items()}},
    )  # fmt: skip


def parameters_of(path: str) -> tuple[Parameter, ...]:
    return (*((MODEL,) if "{model}" in path else ()), *((VERSION,) if "{version}" in path else ()))


def of_model(path: str, *, handle: Handler, summary: str, schema: Schema, **more: Answered) -> list[Operation]:
    """The same with and without a version in the path."""
    places = (f"/v2/models/{{model}}{path}", f"/v2/models/{{model}}/versions/{{version}}{path}")
    return [get(place, handle, "predict", summary, schema, **more) for place in places]


def infer_at(path: str) -> Operation:
    return Operation(
        method="POST", path=path, handle=infer.infer, action="predict", summary="Answer rows that come as tensors",
        tag=TAG, parameters=(*parameters_of(path), JSON_LENGTH, *HEADERS), example=EXAMPLE,
        body={"application/json": InferRequest, "application/octet-stream": BYTES},
        answers={
            200: Answered(
                description="One entry a row in each output; of a row at fault NaN, null in JSON, and its `error`",
                content={"application/json": InferResponse, "application/octet-stream": BYTES},
            ),
            400: Answered(description="Not of the protocol's shape, or not what the model takes", content=REFUSED),
            404: NOT_SERVED,
            413: TOO_LARGE,
            500: Answered(description="The model broke down; no row could be singled out", content=REFUSED),
            503: Answered(description="Too much waits; see Retry-After", content=REFUSED, headers={"Retry-After": "s"}),
            504: Answered(description="The caller's own deadline passed", content=REFUSED),
        },
    )  # fmt: skip


def change_at(path: str, handle: Handler, summary: str, refusals: dict[int, Any]) -> Operation:
    return Operation(
        method="POST", path=path, handle=handle, action="admin", summary=summary, tag=TAG, parameters=(MODEL,),
        body={"application/json": RepositoryRequest}, body_required=False, example={},
        answers={200: answered(summary, RepositoryModel), 400: NO_SHAPE, 413: TOO_LARGE, **refusals},
    )  # fmt: skip


OPERATIONS: tuple[Operation, ...] = (
    get("/v2", models.server_metadata, None, "What this server is", ServerMetadata),
    get("/v2/health/live", models.live, None, "The server is there", Live),
    get(
        "/v2/health/ready", models.ready, None, "Every model answers", Ready,
        _503=answered("One does not, or there is none", Ready),
    ),
    *of_model("", handle=models.model_metadata, summary="What the model takes and gives", schema=ModelMetadata),
    *of_model(
        "/ready", handle=models.model_ready, summary="The model answers", schema=ModelReady,
        _503=answered("It does not", ModelReady),
    ),
    *of_model("/config", handle=models.model_config, summary="The model's configuration", schema=ModelConfig),
    *of_model("/stats", handle=models.statistics, summary="What the model has answered", schema=Statistics),
    get("/v2/models/stats", models.statistics, "predict", "What the models have answered", Statistics),
    infer_at("/v2/models/{model}/infer"),
    infer_at("/v2/models/{model}/versions/{version}/infer"),
    Operation(
        method="POST", path="/v2/repository/index", handle=repository.index, action="predict",
        summary="The models that are served, and those that could be", tag=TAG,
        body={"application/json": IndexRequest}, body_required=False, example={"ready": True},
        answers={200: answered("By version", RepositoryIndex), 400: NO_SHAPE, 413: TOO_LARGE},
    ),
    change_at(
        "/v2/repository/models/{model}/load", repository.load, "Serve one more model",
        {
            403: Answered(description="A name that may not be loaded over HTTP", content=REFUSED),
            404: Answered(description="No such model in the store", content=REFUSED),
            422: Answered(description="Found, and cannot be served; nothing has changed", content=REFUSED),
            507: Answered(description="It would leave too little memory; nothing has changed", content=REFUSED),
        },
    ),
    change_at(
        "/v2/repository/models/{model}/unload", repository.unload, "Serve a model no more", {404: NOT_SERVED},
    ),
)  # fmt: skip
