"""From rows that a protocol has read to their answers: the one way, whatever the protocol."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from models.model import RowFault
from service.aside import aside
from service.disconnect import while_connected
from service.door.access import charge_rows, require_model, unknown_model
from service.door.bodies import Body
from service.door.fetch.rows import fetch_rows
from service.errors import RequestInvalid, UnknownModel
from service.json_bodies import LARGE_BYTES
from service.lanes.lane import Lane
from service.lanes.request import Priority
from service.operations import Parameter
from service.schemas import Answer, merge_answers, read_rows
from service.serving import serving_of

#: The headers that every operation takes which answers rows.
HEADERS = (
    Parameter(
        name="X-Request-Timeout", place="header", schema={"type": "number", "exclusiveMinimum": 0},
        description="Seconds that the caller waits: refused at once (503) where they cannot be met, 504 once they are "
        "over.",
    ),
    Parameter(
        name="X-Request-Priority", place="header",
        schema={"type": "string", "enum": ["interactive", "background"], "default": "interactive"},
        description="background rows are answered when nothing interactive waits.",
    ),
)  # fmt: skip
#: A number as JSON has it: Python's own reading takes more, such as 1_0.
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """The answers to the rows of one request, in their order, and whose they are."""

    lane: Lane
    answers: list[Answer]


async def predict_rows(request: Request, model: str, rows: Sequence[Any]) -> Predicted:
    """Answer rows as JSON has them: objects keyed by the input column, or bare values; see `schemas.read_rows`.

    Raises:
        ServiceError: the request as a whole is not answered.
    """
    lane = find_lane(request, model)
    charge_rows(request, len(rows))
    lane.check_rows(len(rows))
    column = lane.spec.inputs[0]
    rows = await fetch_rows(request, column, rows)
    body: Body = request.scope["tandem.body"]
    are_packed = column.kind == "image" and body.held_bytes > LARGE_BYTES  # to be unpacked from base64
    values, faults = await aside(are_packed, read_rows, column, rows)
    return await answer_values(request, lane, values, faults)


def find_lane(request: Request, model: str) -> Lane:
    """The lane of a model that this caller may ask.

    Raises:
        UnknownModel: none of that name, or none that the caller may know of.
    """
    try:
        lane = serving_of(request).models.find(model)
    except UnknownModel:
        raise unknown_model(request, model) from None
    require_model(request, "predict", lane.tag, asked=model)
    return lane


async def predict_values(
    request: Request,
    lane: Lane,
    values: Sequence[Any],
    faults: Mapping[int, RowFault] | None = None,
    *,
    priority: Priority | None = None,
    timeout_s: float | None = None,
) -> Predicted:
    """Answer values of the input column, as `Model.encode` takes them, for as long as the caller is there.

    Args:
        request: the rest of its body must have been read.
        values: the good rows, in order.
        faults: rows that are at fault already, by their position among all of them.
        priority, timeout_s: where the protocol says them in the body; else X-Request-Priority and -Timeout do.

    Raises:
        ServiceError: more rows than the caller's key may send, or what the lane says.
    """
    faults = faults or {}
    charge_rows(request, len(values) + len(faults))
    submitted = submit_values(request, lane, values, faults, priority=priority, timeout_s=timeout_s)
    return Predicted(lane=lane, answers=await while_connected(request, submitted))


async def answer_values(
    request: Request, lane: Lane, values: Sequence[Any], faults: Mapping[int, RowFault]
) -> Predicted:
    """The same for rows that have been charged."""
    answers = await while_connected(request, submit_values(request, lane, values, faults))
    return Predicted(lane=lane, answers=answers)


async def submit_values(
    request: Request,
    lane: Lane,
    values: Sequence[Any],
    faults: Mapping[int, RowFault],
    *,
    priority: Priority | None = None,
    timeout_s: float | None = None,
) -> list[Answer]:
    """The same for whoever sees to it himself that the caller is still there."""
    answers = await lane.submit(
        list(values),
        priority=priority or read_priority(request),
        timeout_s=timeout_s or read_timeout_s(request),
    )
    return merge_answers(len(values) + len(faults), answers, faults)


def read_timeout_s(request: Request) -> float | None:
    """For how long the caller waits, by X-Request-Timeout.

    Raises:
        RequestInvalid: it is no number of seconds above 0.
    """
    found = request.headers.get("x-request-timeout")
    if found is None:
        return None
    seconds = float(found) if NUMBER.fullmatch(found) else 0.0
    if not 0 < seconds < math.inf:
        raise RequestInvalid(f"X-Request-Timeout: found {found[:40]!r}, expected seconds above 0, such as 0.5.")
    return seconds


def read_priority(request: Request) -> Priority:
    """Whose turn it is, by X-Request-Priority.

    Raises:
        RequestInvalid: it is none that there is.
    """
    found = request.headers.get("x-request-priority", "interactive")
    if found == "interactive":
        return "interactive"
    if found == "background":
        return "background"
    raise RequestInvalid(f"X-Request-Priority: found {found[:40]!r}, expected interactive or background.")
