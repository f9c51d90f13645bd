"""A small JSON body -> the pydantic model that it is to be."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from service.json_bodies import read_json
from service.refusals import wrong_shape

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: Request, shape: type[Body], *, empty: bytes = b"") -> Body:
    """The body as a pydantic model.

    Args:
        empty: what a body without a byte stands for.

    Raises:
        RequestInvalid: it is something else.
    """
    try:
        return shape.model_validate(read_json(await request.body() or empty))
    except (ValidationError, ValueError, RecursionError) as error:
        raise wrong_shape(error if isinstance(error, ValueError) else ValueError("nested too deeply")) from None
