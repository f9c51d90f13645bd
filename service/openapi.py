"""The OpenAPI page at /docs.json, made from the operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from service.operations import Operation, Schema

REF = "#/components/schemas/{model}"


def describe(operations: Iterable[Operation]) -> dict[str, Any]:
    """The page: OpenAPI 3.1."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = describe_operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tandem", "version": version("tandem-inference")},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def describe_operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """One operation; the schemas that it names are added to `schemas`."""
    page: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip("_"),
        "tags": [operation.tag],
        "responses": {
            str(status): {"description": answered.description, "content": describe_content(answered.content, schemas)}
            for status, answered in operation.answers.items()
        },
    }
    if operation.parameters:
        page["parameters"] = [
            {"name": one.name, "in": one.place, "description": one.description, "required": one.required,
             "schema": dict(one.schema)}
            for one in operation.parameters
        ]  # fmt: skip
    if operation.body:
        content = describe_content(operation.body, schemas)
        if operation.example is not None and "application/json" in content:
            content["application/json"]["example"] = operation.example
        page["requestBody"] = {"required": True, "content": content}
    return page


def describe_content(content: Mapping[str, Schema], schemas: dict[str, Any]) -> dict[str, Any]:
    return {media: {"schema": describe_schema(schema, schemas)} for media, schema in content.items()}


def describe_schema(schema: Schema, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to a pydantic model's schema, or the schema itself."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return dict(schema)
    described = schema.model_json_schema(ref_template=REF)
    schemas.update(described.pop("$defs", {}))
    schemas[schema.__name__] = described
    return {"$ref": REF.format(model=schema.__name__)}
