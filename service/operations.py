"""Operation: one method of one path. Routing, the door and the OpenAPI page are all made from the same list of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

Action = Literal["predict", "jobs", "admin"]
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
#: What a body is: a pydantic model, or a JSON schema where no model says it (such as bytes).
Schema: TypeAlias = type[BaseModel] | Mapping[str, Any]

BYTES: Schema = {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter in the path, the query or a header, as OpenAPI says it."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What an operation answers with one status: media type -> what the body is; none without a body."""

    description: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        method, path: path in starlette's form, such as `/jobs/{id}`.
        handle: answers it; a ServiceError that it raises becomes a reply of its status (service/refusals.py).
        action: what a key must be allowed to do, before the handler is called; None: everybody may.
            Whether it may do so with a certain model is asked by the handler: `door.access.require_model`.
        summary: one line for the OpenAPI page.
        tag: its group there.
        body: media type -> what the request's body is; none where it takes none.
        body_required: whether there must be one.
        example: of a JSON body.
        answers: by status. 401, 403, 429 and what else the door answers is added by the page.
    """

    method: Literal["GET", "POST", "PUT", "DELETE", "HEAD"]
    path: str
    handle: Handler
    action: Action | None
    summary: str
    tag: str
    answers: Mapping[int, Answered]
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    body_required: bool = True
    example: Any = None
