"""What the layers before every handler add to its operation on the OpenAPI page: the door, the request's id, faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.operations import Answered, Operation
from service.schemas import ErrorResponse

JSON = {"application/json": ErrorResponse}

SECURITY_SCHEMES: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key that the operator made: tandem key add NAME"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The same key"},
}
PARAMETERS: Mapping[str, Any] = {
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back in the answer and is in the server's logs, where it is at most 128 letters, digits, "
        "dots, lines or underscores; else one is made.",
        "schema": {"type": "string"},
    },
}
RETRY_AFTER = {"Retry-After": "seconds"}

#: By status: what may come before any handler is asked.
ALWAYS = {
    403: Answered(description="Not from this page or under this host name, or not with this key", content=JSON),
    500: Answered(description="The server failed over this request; its log says how", content=JSON),
}
OF_KEYS = {
    401: Answered(
        description="No key, or none that counts", content=JSON, headers={"WWW-Authenticate": "how to send a key"}
    ),
    429: Answered(description="More requests than the key may send", content=JSON, headers=RETRY_AFTER),
}
OF_BODIES = {
    400: Answered(description="A body that is not what its type, shape or encoding says", content=JSON),
    408: Answered(description="A body that hardly came", content=JSON),
    413: Answered(description="A body, or a number of rows, beyond the limit", content=JSON),
    415: Answered(description="A body of a type or an encoding that is not read here", content=JSON),
    503: Answered(description="Too much waits, or the bodies of all requests fill their room", content=JSON,
                  headers=RETRY_AFTER),
}  # fmt: skip


def security_of(operation: Operation, *, asks_keys: bool) -> list[dict[str, list[str]]]:
    """Which keys are asked for: one, in either form, or none."""
    return [{name: []} for name in SECURITY_SCHEMES] if operation.action and asks_keys else []


def add_answers(operation: Operation, *, asks_keys: bool) -> dict[int, Answered]:
    """All that may come back: what the layers add, under what the room says itself.

    Under /v1 the room's own form of an error is that of the layers, too.
    """
    added = {
        **ALWAYS,
        **(OF_KEYS if operation.action and asks_keys else {}),
        **(OF_BODIES if operation.body else {}),
    }
    if operation.path.startswith("/v1/"):
        own = next((one.content for status, one in operation.answers.items() if status >= 400), JSON)
        added = {
            status: Answered(description=one.description, content=own, headers=one.headers)
            for status, one in added.items()
        }
    merged = dict(added)
    for status, one in operation.answers.items():
        headers = {**(added[status].headers if status in added else {}), **one.headers}
        merged[status] = Answered(description=one.description, content=one.content, headers=headers)
    return merged
