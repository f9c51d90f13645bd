"""The JSON body of a prediction, and what is wrong with one in words of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from service.errors import RequestInvalid
from service.json_bodies import read_json
from service.protocols.predict.errors import ModelsDiffer
from service.schemas import PredictRequest, Problem

#: What pydantic calls a mistake -> what we say of it.
SAID = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "expected text",
    "string_too_short": "it is empty",
    "list_type": "expected an array",
    "model_type": "expected an object",
}
EXPECTED = 'expected {"model": "name", "rows": [...]}'


class BodyInvalid(RequestInvalid):
    """A body that is not of the request's shape; `problems` names every field."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        named = (f"{'.'.join(map(str, one.loc)) or 'body'}: {one.msg}" for one in problems)
        super().__init__(f"{'; '.join(named)}. {EXPECTED[0].upper()}{EXPECTED[1:]}.")
        self.problems = tuple(problems)

    @property
    def detail(self) -> list[dict[str, Any]]:
        return [problem.model_dump() for problem in self.problems]


def read_request(body: bytes, *, model: str | None) -> PredictRequest:
    """Read a body.

    Args:
        model: what `?model=` says; then the body need not say it.

    Raises:
        BodyInvalid: no JSON, or not of the request's shape.
        ModelsDiffer: it names another model than the address.
    """
    try:
        content = read_json(body)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BodyInvalid([Problem(loc=[], msg=f"no JSON ({why[:100]})")]) from None
    if not isinstance(content, dict):
        raise BodyInvalid([Problem(loc=[], msg=f"expected an object, found {shown(content)}")])
    if model is not None:
        if content.get("model", model) != model:
            raise ModelsDiffer(address=model, body=shown(content["model"]))
        content["model"] = model
    try:
        return PredictRequest.model_validate(content)
    except ValidationError as error:
        raise BodyInvalid([describe(problem) for problem in error.errors()]) from None


def describe(problem: Any) -> Problem:
    """One of pydantic's problems, in words of ours."""
    said = SAID.get(problem["type"], "it is not as expected")
    found = "" if problem["type"] in {"missing", "extra_forbidden"} else f", found {shown(problem['input'])}"
    return Problem(loc=list(problem["loc"]), msg=said + found)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
