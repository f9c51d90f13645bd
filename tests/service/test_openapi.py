"""The OpenAPI page is valid, has every operation, and leaves nothing of a body open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel
from starlette.routing import Route

from service.components import MARK
from service.openapi import Page, describe
from service.operations import Answered, Operation
from service.routes import OPERATIONS, make_app

PAGE = describe(OPERATIONS, asks_keys=True)


def schemas_of(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every schema of the page, with where it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "schema" or where.endswith("/components/schemas"):
                yield from parts_of(value, f"{where}/{key}")
            elif key not in {"example", "examples"}:
                yield from schemas_of(value, f"{where}/{key}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from schemas_of(value, f"{where}/{position}")


def parts_of(schema: Any, where: str) -> Iterator[tuple[str, Any]]:
    """A schema and all within it."""
    yield where, schema
    if not isinstance(schema, dict):
        return
    for key in ("properties", "$defs", "patternProperties"):
        for name, part in schema.get(key, {}).items():
            yield from parts_of(part, f"{where}/{name}")
    for key in ("items", "additionalProperties", "not", "if", "then", "else", "propertyNames"):
        if key in schema and schema[key] is not False:
            yield from parts_of(schema[key], f"{where}/{key}")
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for position, part in enumerate(schema.get(key, [])):
            yield from parts_of(part, f"{where}/{key}/{position}")


def is_open(schema: Any) -> bool:
    """Whether anything at all, or an object of anything at all, would do."""
    if not isinstance(schema, dict):
        return True
    says = {"$ref", "type", "anyOf", "oneOf", "allOf", "enum", "const"} & schema.keys()
    types = schema.get("type", [])
    is_object = "object" in ([types] if isinstance(types, str) else types)
    rest = schema.get("additionalProperties", True)
    is_list = "array" in ([types] if isinstance(types, str) else types)
    return not says or (is_object and rest is True) or (is_list and not {"items", "prefixItems"} & schema.keys())


def test_the_page_is_valid() -> None:
    validate(PAGE)


def test_no_body_is_left_open() -> None:
    found = [where for where, schema in schemas_of(PAGE) if is_open(schema)]
    assert found == []
    assert len(list(schemas_of(PAGE))) > 100


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "array"}]
)
def test_an_open_body_would_be_found(schema: dict[str, Any]) -> None:
    assert is_open(schema)


def test_every_route_is_on_the_page_with_every_method_and_no_other_is() -> None:
    routes = {route.path for route in make_app().routes if isinstance(route, Route)}
    on_page = {(path, method) for path, methods in PAGE["paths"].items() for method in methods}
    assert {path for path, _ in on_page} == routes
    assert on_page == {(one.path, one.method.lower()) for one in OPERATIONS}


def test_what_is_named_is_there_and_what_is_there_is_named() -> None:
    text = json.dumps(PAGE)
    for kind, components in PAGE["components"].items():
        for name in components:
            used = f'"#/components/{kind}/{name}"' in text
            assert used or kind == "securitySchemes", f"{kind}/{name} is used nowhere"
    assert MARK not in text
    assert "bento" not in text.lower()


def test_operations_are_told_apart_and_each_says_what_the_door_may_answer() -> None:
    described = [one for methods in PAGE["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in described]
    assert len(set(names)) == len(names)
    for path, methods in PAGE["paths"].items():
        for one in methods.values():
            statuses = set(one["responses"])
            assert {"403", "500"} <= statuses, path
            assert ("401" in statuses and "429" in statuses) == bool(one["security"]), path
            assert {"400", "408", "413", "415", "503"} <= statuses or "requestBody" not in one, path
            assert all("X-Request-Id" in answer["headers"] for answer in one["responses"].values()), path


def test_a_server_without_keys_asks_for_none() -> None:
    page = describe(OPERATIONS, asks_keys=False)
    validate(page)
    described = [one for methods in page["paths"].values() for one in methods.values()]
    assert not any(one["security"] or "401" in one["responses"] for one in described)


def test_two_schemas_of_one_name_are_refused() -> None:
    class Same(BaseModel):
        count: int = 0

    first = Operation(
        method="GET", path="/a", handle=NotImplemented, action=None, summary="a", tag="a",
        answers={200: Answered(description="a", content={"application/json": Same})},
        body={"application/json": Same},
    )  # fmt: skip
    with pytest.raises(ValueError, match="two schemas of the OpenAPI page are called Same"):
        Page(asks_keys=False).add(first)
