"""The routes that BentoML does not make: GET /models, and the OpenAPI page that names all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bentoml
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.schemas import ErrorResponse, ModelCard

if TYPE_CHECKING:
    from starlette.requests import Request

#: What POST /predict answers beside 200; BentoML's own list does not know them.
REFUSALS = {
    "400": "The body is no JSON, or not of the request's shape: `detail` names the field.",
    "404": "A model that is not served here; the known ones are listed.",
    "413": "A body or a number of rows beyond the limit.",
    "500": "The model broke down over this window; no row could be singled out.",
    "503": "The queue is full; Retry-After says for how many seconds.",
}

EXAMPLE = {"model": "bbc-bert", "rows": [{"text": "The chancellor raised interest rates."}]}


def make_routes(service: Any) -> Starlette:
    """An ASGI application to mount at /."""

    async def models(request: Request) -> JSONResponse:
        cards = bentoml.get_current_service().lanes.cards()
        return JSONResponse({"models": [card.model_dump() for card in cards]})

    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(describe(service.openapi_spec.asdict()))

    return Starlette(routes=[Route("/models", models, methods=["GET"]), Route("/docs.json", openapi, methods=["GET"])])


def describe(page: dict[str, Any]) -> dict[str, Any]:
    """BentoML's OpenAPI page, with GET /models and the refusals of POST /predict added."""
    schemas = page.setdefault("components", {}).setdefault("schemas", {})
    for model in (ModelCard, ErrorResponse):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
    predict = page["paths"]["/predict"]["post"]
    predict["requestBody"]["content"]["application/json"]["example"] = EXAMPLE
    predict["responses"].update({status: {"description": why, "content": refusal} for status, why in REFUSALS.items()})
    listing = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelCard"}}},
    }
    listed = {"description": "In the order of TANDEM_MODELS", "content": {"application/json": {"schema": listing}}}
    page["paths"]["/models"] = {
        "get": {
            "summary": "The models that are served here",
            "operationId": "tandem__models",
            "tags": predict.get("tags", []),
            "responses": {"200": listed},
        }
    }
    return page
