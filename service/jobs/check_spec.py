"""Check what is asked for against the published schema of a job, without importing the code that runs it.

`job.schema.json` is what `tandem schema job` prints; a test compares the two. Of JSON schema it takes what such a file
uses. What no schema says (places, sizes, SQL) is seen by `tandem plan`, before the job is taken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from service.errors import RequestInvalid

#: Settings that are the server's own: they would lead its credentials elsewhere, or its log and its ports.
SERVERS_OWN = (
    *("endpoint_url", "aws_profile", "log", "metrics_port", "metrics_host"),
    *("engine", "array_index", "array_size"),  # it runs jobs on its own machine
)
#: What no file and no setting can hold.
UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
WITHOUT_NUL = r"^[^\u0000]*$"
KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@cache
def full_schema() -> dict[str, Any]:
    """What a job file may hold, as `tandem schema job` prints it."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("job.schema.json").read_text(encoding="utf-8"))
    return found


@cache
def job_schema() -> dict[str, Any]:
    """What a caller may ask for: all but what is the server's own."""
    schema = full_schema()
    asked = {name: one for name, one in schema["properties"].items() if name not in SERVERS_OWN}
    return schema | {
        "description": "One job: which model, over which rows, to where.",
        "properties": {name: without_nul(one) for name, one in asked.items()},
    }


def without_nul(schema: Any) -> Any:
    """The schema, its texts being without the character that no file and no setting can hold."""
    if isinstance(schema, list):
        return [without_nul(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: without_nul(one) for name, one in schema.items()}
    if found.get("type") == "string" and "enum" not in found and "const" not in found:
        found.setdefault("pattern", WITHOUT_NUL)
    if isinstance(found.get("additionalProperties"), dict):
        found["propertyNames"] = {"type": "string", "pattern": WITHOUT_NUL}
    return found


def check_spec(asked: Any) -> dict[str, Any]:
    """See that what is asked for is a job.

    Raises:
        RequestInvalid: it is none; the message names the setting.
    """
    schema = job_schema()
    if isinstance(asked, Mapping) and (own := [name for name in SERVERS_OWN if name in asked]):
        raise RequestInvalid(f"{own[0]}: is the server's to say, not a request's. Leave it out.")
    if isinstance(asked, Mapping) and (strange := [name for name in asked if name not in schema["properties"]]):
        raise RequestInvalid(f"{strange[0][:100]!r} is no setting; there are: {', '.join(schema['properties'])}.")
    if problem := find_fault(asked, schema, ""):
        raise RequestInvalid(problem)
    return dict(asked)


def find_fault(value: Any, schema: Mapping[str, Any], where: str) -> str | None:
    """The first thing that is not as the schema says, in one line; None where all is well."""
    if "anyOf" in schema:
        faults = [find_fault(value, one, where) for one in schema["anyOf"]]
        if None in faults:
            return None
        expected = " or ".join(dict.fromkeys(describe(one) for one in schema["anyOf"]))
        # Of the kinds that it may be, one may be right and only too large or too long.
        near = [fault for one, fault in zip(schema["anyOf"], faults, strict=True) if is_kind(value, one.get("type"))]
        return near[0] if near else say(where, expected, value)
    if not is_kind(value, schema.get("type")) or not is_in_bounds(value, schema):
        return say(where, describe(schema), value)
    if isinstance(value, str):
        return f"{where or 'body'}: holds a character that no text can hold." if UNWRITABLE.search(value) else None
    if isinstance(value, Mapping):
        return find_fault_inside(value, schema, where)
    if isinstance(value, list):
        inside = (find_fault(one, schema.get("items", {}), f"{where}[{row}]") for row, one in enumerate(value))
        return next(filter(None, inside), None)
    return None


def find_fault_inside(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str | None:
    """The first fault among an object's settings."""
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{missing[0]}: is missing."
    for name, one in value.items():
        if UNWRITABLE.search(name):
            return f"{where or 'body'}: holds a name that no text can hold."
        inside = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        at = f"{where}.{name}" if where else name
        if inside is False:
            return f"{at[:100]!r} is no setting."
        if isinstance(inside, Mapping) and (fault := find_fault(one, inside, at[:100])):
            return fault
    return None


def is_kind(value: Any, kind: str | None) -> bool:
    """Whether a value is of a JSON type; true and false are no numbers, and 3.0 is a whole one."""
    if kind in ("integer", "number"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return is_number and (kind == "number" or isinstance(value, int) or value.is_integer())
    types: dict[str | None, Any] = {
        "string": str,
        "boolean": bool,
        "array": list,
        "object": Mapping,
        "null": type(None),
    }
    return kind is None or isinstance(value, types[kind])


def is_in_bounds(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value of the right type is one of those that are let in."""
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    if isinstance(value, str):
        return len(value) >= int(schema.get("minLength", 0))
    if isinstance(value, int | float) and not isinstance(value, bool):
        above = "exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"]
        return bool(above and schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def describe(schema: Mapping[str, Any]) -> str:
    """What is expected, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    said = KINDS[schema.get("type", "object")]
    if schema.get("minLength"):
        said = "text that is not empty"
    bounds = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
    return " ".join([said, *(f"{word} {schema[name]}" for name, word in bounds if name in schema)])


def say(where: str, expected: str, found: Any) -> str:
    shown = json.dumps(found, default=str)
    return f"{where or 'body'}: expected {expected}, found {shown if len(shown) <= 80 else shown[:77] + '...'}."
