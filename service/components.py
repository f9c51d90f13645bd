"""Components: the parts of bodies that the OpenAPI page describes and no pydantic model checks.

Rows are any JSON, since a bad one is answered as an error of its own and not refused; answers are made by the models. A
pydantic model that holds them says `Annotated[Any, component("Row")]`: nothing is checked twice, and the page says what
they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import WithJsonSchema

#: In a schema, what stands for one of the components until the page is made.
MARK = "x-component"


def component(name: str) -> WithJsonSchema:
    """The annotation of a field that is described by a component."""
    assert name in COMPONENTS
    return WithJsonSchema({MARK: name})


def a(name: str) -> dict[str, Any]:
    return {MARK: name}


def closed(properties: Mapping[str, Any], description: str) -> dict[str, Any]:
    """An object with these properties, all of them and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


TRUNCATED = {"type": "boolean", "description": "whether the row was longer than the model reads"}
SCORES = {"type": "object", "description": "by label", "additionalProperties": {"type": "number"}}

COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "Value": {
        "description": "Any JSON. What is not of its model's kind is answered as an error of its row.",
        "anyOf": [
            {"type": "string"},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": "array", "items": a("Value")},
            {"type": "object", "additionalProperties": a("Value")},
        ],
    },
    "Row": {
        "description": "One row: the value of the model's input column, or an object keyed by that column.",
        "anyOf": [
            {"type": "string", "description": "a text; of an image, base64 of its file, alone or in a data: URL"},
            {
                "type": "array",
                "description": "a sequence as steps of numbers, or an image as rows of pixels",
                "items": a("Value"),
            },
            {
                "type": "object",
                "description": 'by column: {"text": "..."}, {"image": "<base64>"} or {"steps": [[0.1, 0.2], ...]}',
                "additionalProperties": a("Value"),
            },
            {"type": ["number", "boolean", "null"], "description": "answered as an error of its row"},
        ],
    },
    "TensorData": {
        "description": "Numbers or strings in one list, or nested as the tensor's shape says.",
        "type": "array",
        "items": {"anyOf": [{"type": ["string", "number", "boolean", "null"]}, a("TensorData")]},
    },
    "Prediction": {
        "description": "The answer to one row: by the model's task, or its error.",
        "anyOf": [a("Classified"), a("MultiLabelled"), a("Embedded"), a("RowError")],
    },
    "Classified": closed(
        {"label": {"type": "string"}, "score": {"type": "number"}, "scores": SCORES, "truncated": TRUNCATED},
        "The likeliest label, and the scores of all.",
    ),
    "MultiLabelled": closed(
        {"labels": {"type": "array", "items": {"type": "string"}}, "scores": SCORES, "truncated": TRUNCATED},
        "The labels that hold, and the scores of all.",
    ),
    "Embedded": closed(
        {"embedding": {"type": "array", "items": {"type": "number"}}, "truncated": TRUNCATED}, "A vector."
    ),
    "RowError": closed(
        {
            "error": closed(
                {
                    "class": {"type": "string", "description": "such as NullValue or UndecodableImage"},
                    "message": {"type": "string"},
                    "attempts": {"type": "integer", "description": "how often the row was tried"},
                },
                "Why there is no answer.",
            )
        },
        "A row that is at fault; the others of its request are answered.",
    ),
}
