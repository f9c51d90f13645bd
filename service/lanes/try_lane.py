"""One row or two through a lane that nobody else has found yet."""

from __future__ import annotations

import io
from typing import Any

from service.errors import ServiceError
from service.lanes.errors import ModelNotServable
from service.lanes.lane import Lane

#: Faults of a row itself: our sample may not be what the model takes, which is no fault of the model's.
FAULTS_OF_ROWS = frozenset({"WrongType", "WrongShape", "EmptySequence", "TooLong", "UndecodableImage"})


async def try_lane(lane: Lane) -> None:
    """Let a lane answer plain rows of its kind.

    Raises:
        ModelNotServable: it answers none of them, and not for the rows' sake; such as NaN for whatever it is given.
    """
    try:
        answers = await lane.submit(plain_rows(lane.spec.inputs[0].kind))
    except ServiceError as error:
        raise ModelNotServable(lane.tag, why=str(error)) from None
    faults = [answer["error"] for answer in answers if "error" in answer]
    if len(faults) == len(answers) and not any(fault["class"] in FAULTS_OF_ROWS for fault in faults):
        raise ModelNotServable(
            lane.tag, why=f"it answers no plain row: {faults[0]['class']}: {faults[0]['message'].rstrip('.')}."
        )


def plain_rows(kind: str) -> list[Any]:
    """Rows of a kind; a sequence of one channel, for the spec does not say how many there are."""
    if kind == "text":
        return ["A row of words, before anybody waits.", "Another one."]
    if kind == "sequence":
        return [[0.0, 1.0, 0.0]]
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, format="PNG")
    return [buffer.getvalue()]
