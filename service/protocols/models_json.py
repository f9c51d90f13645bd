"""GET /models, and what changes them: load, unload, and which version a bare name means."""

from __future__ import annotations

from functools import partial

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.door.access import may_see, require_model, unknown_model
from service.lanes.errors import ModelNotServable, UnknownTag
from service.lanes.lane import Lane
from service.operations import Answered, Operation, Parameter
from service.predict import find_lane
from service.protocols.read_body import read_body
from service.schemas import ErrorResponse, ModelCard, ModelCards
from service.serving import serving_of

REFUSED = {"application/json": ErrorResponse}
CARD = {"application/json": ModelCard}
CARDS = {"application/json": ModelCards}
NO_SHAPE = Answered(description="The body is no JSON, or not of the request's shape", content=REFUSED)
TOO_LARGE = Answered(description="A body beyond the limit", content=REFUSED)
NOT_SERVED = Answered(description="A model that is not served here", content=REFUSED)


class LoadRequest(BaseModel):
    """A model to serve beside the others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(
        min_length=1,
        max_length=1024,
        description="`name` (the model store's latest version) or `name:version`; other names where the operator "
        "allows them",
    )
    default: bool = Field(True, description="whether the bare name means this version from now on")


class ModelRequest(BaseModel):
    """A model that is served."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(min_length=1, max_length=1024, description="`name:version`")


async def models(request: Request) -> Response:
    """The models that are served here, as far as the caller may know of them."""
    cards = [card for card in serving_of(request).models.cards() if may_see(request, "predict", card.model)]
    return JSONResponse(ModelCards(models=cards).model_dump())


async def model(request: Request) -> Response:
    """One model, by `name:version` or by its bare name."""
    found = serving_of(request).models
    lane = find_lane(request, request.path_params["model"])
    return JSONResponse(found.card(lane).model_dump())


async def load(request: Request) -> Response:
    """Serve one more model; answered once it takes requests."""
    wanted = await read_body(request, LoadRequest)
    lane = await load_allowed(request, wanted.model, default=wanted.default)
    return JSONResponse(serving_of(request).models.card(lane).model_dump())


async def load_allowed(request: Request, name: str, *, default: bool) -> Lane:
    """Load what the caller's key reaches; of everything else he reads the same, in the store or not.

    Raises:
        ServiceError: see Lifecycle.load.
    """
    allowed = partial(require_model, request, "admin", asked=name)
    try:
        return await serving_of(request).lifecycle.load(name, default=default, allowed=allowed)
    except (UnknownTag, ModelNotServable):
        if may_see(request, "admin", name):
            raise
        raise unknown_model(request, name) from None


async def unload(request: Request) -> Response:
    """Serve a model no more; answered once what waited for it was answered."""
    wanted = await read_body(request, ModelRequest)
    require_model(request, "admin", wanted.model)
    serving = serving_of(request)
    await serving.lifecycle.unload(wanted.model)
    cards = [card for card in serving.models.cards() if may_see(request, "admin", card.model)]
    return JSONResponse(ModelCards(models=cards).model_dump())


async def set_default(request: Request) -> Response:
    """Let the bare name mean this version: forth and back in one call each."""
    wanted = await read_body(request, ModelRequest)
    require_model(request, "admin", wanted.model)
    serving = serving_of(request)
    lane = serving.lifecycle.set_default(wanted.model)
    return JSONResponse(serving.models.card(lane).model_dump())


OPERATIONS = (
    Operation(
        method="GET",
        path="/models",
        handle=models,
        action="predict",
        summary="The models that are served here",
        tag="Models",
        answers={200: Answered(description="In the order in which they were loaded", content=CARDS)},
    ),
    Operation(
        method="GET",
        path="/models/{model}",
        handle=model,
        action="predict",
        summary="One model",
        tag="Models",
        parameters=(
            Parameter(
                name="model",
                place="path",
                description="`name:version`, or the bare name",
                schema={"type": "string"},
                required=True,
            ),
        ),
        answers={200: Answered(description="What it is", content=CARD), 404: NOT_SERVED},
    ),
    Operation(
        method="POST",
        path="/models/load",
        handle=load,
        action="admin",
        summary="Serve one more model, beside the others",
        tag="Models",
        body={"application/json": LoadRequest},
        example={"model": "bbc-bert", "default": False},
        answers={
            200: Answered(
                description="It is served; loading a loaded one changes no more than `default`", content=CARD
            ),
            400: NO_SHAPE,
            403: Answered(description="A name that may not be loaded over HTTP", content=REFUSED),
            404: Answered(description="No such model in the store", content=REFUSED),
            413: TOO_LARGE,
            422: Answered(description="Found, and cannot be served; nothing has changed", content=REFUSED),
            507: Answered(description="It would leave too little memory; nothing has changed", content=REFUSED),
        },
    ),
    Operation(
        method="POST",
        path="/models/unload",
        handle=unload,
        action="admin",
        summary="Serve a model no more, once what waits for it is answered",
        tag="Models",
        body={"application/json": ModelRequest},
        example={"model": "bbc-bert:2c3f4e5a6b7d"},
        answers={
            200: Answered(description="The models that are left", content=CARDS),
            400: NO_SHAPE,
            404: NOT_SERVED,
            409: Answered(description="A bare name of several versions", content=REFUSED),
            413: TOO_LARGE,
        },
    ),
    Operation(
        method="POST",
        path="/models/default",
        handle=set_default,
        action="admin",
        summary="Let the bare name mean this version",
        tag="Models",
        body={"application/json": ModelRequest},
        example={"model": "bbc-bert:2c3f4e5a6b7d"},
        answers={
            200: Answered(description="The next request by the bare name goes there", content=CARD),
            400: NO_SHAPE,
            404: NOT_SERVED,
            413: TOO_LARGE,
        },
    ),
)
