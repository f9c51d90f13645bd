"""One row through a model before anybody waits for it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from models.errors import PredictionMismatch
from models.model import Model
from service.schemas import answers_of

#: The widest step of a sequence that is tried.
MAX_STEP_NUMBERS = 512


def warm_up(model: Model) -> str:
    """Let the model answer one row of its kind; the first call of a runtime allocates and plans, and is slow.

    Returns:
        `answered`, or the class of the error row where none of the tried values was one that the model takes.

    Raises:
        PredictionMismatch: the model returned another number of answers than rows.
    """
    kind = ""
    for value in sample_values(model.spec.inputs[0].kind):
        faults = model.encode([value]).faults
        if faults:
            kind = kind or faults[0].kind
            continue
        answers = answers_of(model.predict_values([value]))
        if len(answers) != 1:
            raise PredictionMismatch(model.tag, given=1, got=len(answers))
        return str(answers[0]["error"]["class"]) if "error" in answers[0] else "answered"
    return kind


def sample_values(kind: str) -> Iterator[Any]:
    """Values of a kind; several where the spec does not say which shape the model takes."""
    if kind == "text":
        yield "One row of words, before anybody waits."
    elif kind == "image":
        from PIL import Image

        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, format="PNG")
        yield buffer.getvalue()
    else:
        yield [0.0, 0.0, 0.0]
        for numbers in range(1, MAX_STEP_NUMBERS):
            yield [[0.0] * numbers] * 3
