"""The OpenAPI page at /docs.json, made from the operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from service.components import COMPONENTS, MARK
from service.openapi_layers import PARAMETERS, SECURITY_SCHEMES, add_answers, security_of
from service.operations import Answered, Operation, Schema

REF = "#/components/schemas/{model}"
INFO = {
    "title": "Tandem",
    "summary": "Packaged models behind HTTP, and jobs over Parquet with the same models.",
    "description": 'Errors are `{"error": "one line"}`; under /v1 they are as OpenAI\'s clients read them. A row that '
    'cannot be answered is no error of its request: it is an entry `{"error": {...}}` among the predictions.',
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}


class Page:
    """The page while it is made: schemas are collected as operations name them."""

    def __init__(self, *, asks_keys: bool) -> None:
        self.asks_keys = asks_keys
        self.schemas: dict[str, Any] = {}
        self.paths: dict[str, dict[str, Any]] = {}

    def add(self, operation: Operation) -> None:
        """Describe one operation."""
        answers = add_answers(operation, asks_keys=self.asks_keys)
        page: dict[str, Any] = {
            "summary": operation.summary,
            "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip("_"),
            "tags": [operation.tag],
            "security": security_of(operation, asks_keys=self.asks_keys),
            "parameters": [
                *(
                    {"name": one.name, "in": one.place, "description": one.description, "required": one.required,
                     "schema": dict(one.schema)}
                    for one in operation.parameters
                ),
                *({"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS),
            ],
            "responses": {str(status): self.response(one) for status, one in sorted(answers.items())},
        }  # fmt: skip
        if operation.body:
            content = self.content(operation.body, answer=False)
            if operation.example is not None and "application/json" in content:
                content["application/json"]["example"] = operation.example
            page["requestBody"] = {"required": operation.body_required, "content": content}
        self.paths.setdefault(operation.path, {})[operation.method.lower()] = page

    def response(self, answered: Answered) -> dict[str, Any]:
        headers = {
            name: {"description": said, "schema": {"type": "string"}, "required": False}
            for name, said in answered.headers.items()
        }
        page: dict[str, Any] = {
            "description": answered.description,
            "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}, **headers},
        }
        if answered.content:
            page["content"] = self.content(answered.content, answer=True)
        return page

    def content(self, content: Mapping[str, Schema], *, answer: bool) -> dict[str, Any]:
        return {media: {"schema": self.schema(schema, answer=answer)} for media, schema in content.items()}

    def schema(self, schema: Schema, *, answer: bool) -> Any:
        """A reference to a pydantic model's schema, or the schema itself."""
        if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
            return self.refer(dict(schema))
        mode = "serialization" if answer else "validation"
        described = schema.model_json_schema(ref_template=REF, mode=mode)  # type: ignore[arg-type]
        for name, one in {**described.pop("$defs", {}), schema.__name__: described}.items():
            self.keep(name, close(one) if answer else one)
        return {"$ref": REF.format(model=schema.__name__)}

    def keep(self, name: str, schema: Any) -> None:
        """Keep a schema under its name.

        Raises:
            ValueError: another one has that name, such as one that is asked for and answered in different forms.
        """
        found = self.refer(schema)
        if self.schemas.setdefault(name, found) != found:
            raise ValueError(f"two schemas of the OpenAPI page are called {name}")

    def refer(self, node: Any) -> Any:
        """Put a reference in place of each mark of a component."""
        if isinstance(node, Mapping):
            if MARK not in node:
                return {key: self.refer(value) for key, value in node.items()}
            name = node[MARK]
            if name not in self.schemas:
                self.schemas[name] = {}  # some refer to themselves
                self.schemas[name] = self.refer(COMPONENTS[name])
            return {"$ref": REF.format(model=name)} | {key: value for key, value in node.items() if key != MARK}
        return [self.refer(value) for value in node] if isinstance(node, list) else node


def describe(operations: Iterable[Operation], *, asks_keys: bool) -> dict[str, Any]:
    """The page: OpenAPI 3.1. `asks_keys` says whether this server lets in callers with keys only."""
    page = Page(asks_keys=asks_keys)
    for operation in operations:
        page.add(operation)
    return {
        "openapi": "3.1.0",
        "info": {**INFO, "version": version("tandem-inference")},
        "servers": [{"url": "/"}],
        "paths": page.paths,
        "components": {
            "schemas": dict(sorted(page.schemas.items())),
            "parameters": PARAMETERS,
            "headers": {
                "X-Request-Id": {
                    "description": "The request's own id where it was short and plain, else one that was made",
                    "required": True,
                    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
                }
            },
            **({"securitySchemes": SECURITY_SCHEMES} if asks_keys else {}),
        },
    }


def close(node: Any) -> Any:
    """What we answer has the properties that are described and no others."""
    if isinstance(node, Mapping):
        found = {key: close(value) for key, value in node.items()}
        if found.get("type") == "object" and "properties" in found:
            found.setdefault("additionalProperties", False)
        return found
    return [close(value) for value in node] if isinstance(node, list) else node
