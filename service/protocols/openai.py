"""POST /v1/embeddings and GET /v1/models, as OpenAI's clients speak."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.spec import ModelSpec, first_problem
from service.door.access import may_see
from service.json_bodies import answer_object, read_json
from service.lanes.lane import Lane
from service.operations import Answered, Operation, Parameter
from service.predict import HEADERS, find_lane, predict_values
from service.protocols.count_tokens import count_tokens
from service.protocols.openai_errors import InputRefused, NotAnEmbeddingModel, NoTexts, OpenAIErrorResponse, RowFailed
from service.schemas import Answer
from service.serving import serving_of

TAG = "OpenAI"
EXAMPLE = {"model": "minilm", "input": ["A sentence.", "Another one."]}
#: Faults that lie in what was sent; others are the model's.
FAULTS_OF_INPUT = frozenset({"NullValue", "WrongType", "EmptySequence", "TooLong"})

Token = Annotated[int, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]


class EmbeddingsRequest(BaseModel):
    """Texts to embed."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, description="`name` or `name:version`, as GET /v1/models lists them")
    input: Text | list[Text] = Field(description="a text, or several; arrays of tokens are refused")
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64 is of the numbers as float32, little-endian"
    )
    dimensions: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="the model's own dimension, and no other"
    )
    user: str | None = Field(default=None, description="taken, and not kept")


class Embedding(BaseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="numbers, or base64 of them")
    truncated: bool = Field(description="whether the text was longer than the model reads, and cut off")


class Usage(BaseModel):
    """What was read."""

    prompt_tokens: int = Field(description="by the model's own tokenizer, as far as it has one; else 0")
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str = Field(description="`name:version` of the model that answered")
    usage: Usage


class OpenAIModel(BaseModel):
    """A model that is served."""

    id: str = Field(description="`name:version`, or the bare name")
    object: Literal["model"] = "model"
    created: int = Field(description="when it was loaded, in seconds since 1970")
    owned_by: Literal["tandem"] = "tandem"


class OpenAIModels(BaseModel):
    """The models that are served: bare names, and every version."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]


async def embeddings(request: Request) -> Response:
    """Embed each text. One that cannot be embedded refuses the request: this protocol has no place for its error."""
    wanted = read_request(await request.body())
    lane = find_lane(request, wanted.model)
    refuse_other_models(request, lane, wanted)
    texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
    lane.check_rows(len(texts))  # before anything is done with each of them
    for position, text in enumerate(texts):
        if not text:
            raise InputRefused(f"input[{position}]: is an empty string; expected text.")
        if not is_unicode(text):
            raise InputRefused(f"input[{position}]: half a surrogate pair is no Unicode; expected text.")
    folder = serving_of(request).models.folder_of(lane.tag)
    found = await predict_values(request, lane, texts)
    tokens = await asyncio.to_thread(count_tokens, folder, lane.spec.max_length, texts)  # not of what was refused
    # An EmbeddingsResponse, which is not made: it would look at every number once more.
    data = [
        {
            "object": "embedding",
            "index": position,
            "embedding": write_vector(vector_of(answer, position, lane), wanted.encoding_format),
            "truncated": answer["truncated"],
        }
        for position, answer in enumerate(found.answers)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return await answer_object({"object": "list", "data": data, "model": lane.tag, "usage": usage})


def read_request(body: bytes) -> EmbeddingsRequest:
    """The request.

    Raises:
        InputRefused: it is something else; says what, in the words of this protocol.
    """
    try:
        content = read_json(body)
    except (ValueError, RecursionError):
        raise InputRefused("body: no JSON.", param=None) from None
    given = content.get("input") if isinstance(content, dict) else None
    if given == []:
        raise NoTexts()
    first = given[0] if isinstance(given, list) else given
    if isinstance(first, int | list) and not isinstance(first, bool):
        raise InputRefused(
            "input: found tokens, which are of another model's vocabulary; send text "
            "(langchain's OpenAIEmbeddings does with check_embedding_ctx_length=False)."
        )
    try:
        return EmbeddingsRequest.model_validate(content)
    except ValidationError as error:
        place = error.errors(include_url=False)[0]["loc"]
        raise InputRefused(first_problem(error), param=str(place[0]) if place else None) from None


def refuse_other_models(request: Request, lane: Lane, wanted: EmbeddingsRequest) -> None:
    """Only a model that embeds texts, and in no other dimension than its own.

    Raises:
        NotAnEmbeddingModel, InputRefused: see their messages.
    """
    if not embeds_texts(lane.spec):
        cards = [card for card in serving_of(request).models.cards() if may_see(request, "predict", card.model)]
        known = [card.model for card in cards if card.task == "text-embedding"]
        raise NotAnEmbeddingModel(lane.tag, task=lane.spec.task, known=known)
    if wanted.dimensions not in (None, lane.spec.dimension):
        raise InputRefused(
            f"dimensions: {lane.tag} has {lane.spec.dimension}; its vectors mean nothing when they are cut.",
            param="dimensions",
        )


def embeds_texts(spec: ModelSpec) -> bool:
    return spec.task == "text-embedding" and spec.inputs[0].kind == "text"


def is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def vector_of(answer: Answer, position: int, lane: Lane) -> list[float]:
    """A row's vector.

    Raises:
        InputRefused, RowFailed: the row is at fault, for its own sake or the model's.
    """
    if fault := answer.get("error"):
        said = f"input[{position}]: {fault['class']}: {fault['message']}"
        raise InputRefused(said) if fault["class"] in FAULTS_OF_INPUT else RowFailed(lane.tag, said=said)
    vector: list[float] = answer["embedding"]
    return vector


def write_vector(vector: list[float], encoding_format: str) -> list[float] | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def list_models(request: Request) -> list[OpenAIModel]:
    """The bare names that the caller may use, each before its versions."""
    served = serving_of(request).models
    found: list[OpenAIModel] = []
    for tag in served.tags:
        if may_see(request, "predict", tag):
            created = served.loaded_at(tag)
            names = [tag.partition(":")[0], tag] if served.is_default(tag) else [tag]
            found += [OpenAIModel(id=name, created=created) for name in names]
    return found


async def models(request: Request) -> Response:
    """The models that are served, as far as the caller may know of them."""
    return JSONResponse(OpenAIModels(data=list_models(request)).model_dump())


async def model(request: Request) -> Response:
    """One model."""
    asked = request.path_params["model"]
    lane = find_lane(request, asked)
    return JSONResponse(OpenAIModel(id=asked, created=serving_of(request).models.loaded_at(lane.tag)).model_dump())


REFUSED = {"application/json": OpenAIErrorResponse}
NOT_SERVED = Answered(description="A model that is not served here", content=REFUSED)
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/embeddings",
        handle=embeddings,
        action="predict",
        summary="Embed texts",
        tag=TAG,
        parameters=HEADERS,
        body={"application/json": EmbeddingsRequest},
        example=EXAMPLE,
        answers={
            200: Answered(description="One vector a text, in order", content={"application/json": EmbeddingsResponse}),
            400: Answered(description="Not of the request's shape, or a text that cannot be embedded", content=REFUSED),
            404: NOT_SERVED,
            413: Answered(description="A body or a number of texts beyond the limit", content=REFUSED),
            422: Answered(description="The model breaks down over one of the texts", content=REFUSED),
            500: Answered(description="The model broke down; no text could be singled out", content=REFUSED),
            503: Answered(description="Too much waits; see Retry-After", content=REFUSED, headers={"Retry-After": "s"}),
            504: Answered(description="The caller's own deadline passed", content=REFUSED),
        },
    ),
    Operation(
        method="GET",
        path="/v1/models",
        handle=models,
        action="predict",
        summary="The models that are served, as OpenAI's clients list them",
        tag=TAG,
        answers={200: Answered(description="Names and versions", content={"application/json": OpenAIModels})},
    ),
    Operation(
        method="GET",
        path="/v1/models/{model}",
        handle=model,
        action="predict",
        summary="One model, as OpenAI's clients see it",
        tag=TAG,
        parameters=(
            Parameter(
                name="model",
                place="path",
                description="`name:version`, or the bare name",
                schema={"type": "string"},
                required=True,
            ),
        ),
        answers={200: Answered(description="It is served", content={"application/json": OpenAIModel}), 404: NOT_SERVED},
    ),
)
