"""What goes over HTTP: the request, its rows as values for a model, the predictions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from models.model import Model, RowFault
from models.spec import Accuracy, InputColumn
from service.column_values import column_values
from service.components import component
from service.speed import Speed, speed_of

#: One row's prediction columns, or `{"error": {...}}`.
Answer = dict[str, Any]


class PredictRequest(BaseModel):
    """Rows for one model."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(min_length=1, description="`name` or `name:version`, as GET /models lists them")
    rows: list[Annotated[Any, component("Row")]] = Field(
        description="One entry for each row: an object keyed by the model's input column, such as "
        '{"text": "..."}, {"image": "<base64 of a PNG or JPEG>"} or {"steps": [[0.1, 0.2], ...]}, or the bare value.'
    )


class PredictResponse(BaseModel):
    """The answers, one for each row, in the order of the rows."""

    model: str = Field(description="`name:version` of the model that answered")
    digest: str = Field(description="sha256 over the model's files")
    variant: str = Field(description="runtime and precision that answered, such as `onnx-fp32`")
    predictions: list[Annotated[Answer, component("Prediction")]] = Field(
        description="Each an object of the model's output columns (label, score, scores by label; labels; embedding) "
        "with `truncated`, or {error: {class, message, attempts}}."
    )


class ModelCard(BaseModel):
    """One model as GET /models shows it."""

    name: str
    model: str = Field(description="`name:version`")
    digest: str
    variant: str
    family: str
    task: str
    input: InputColumn
    output: list[str] = Field(description="the columns of a prediction")
    labels: list[str]
    dimension: int | None = None
    max_length: int | None = None
    tolerance: float
    default: bool = Field(default=False, description="whether the bare name means this version")
    versions: list[str] = Field(default=[], description="the tags of this name that are served, the newest last")
    kept: bool = Field(
        default=False, description="whether a restart of the server serves it again: TANDEM_MODELS names it"
    )
    accuracy: Accuracy | None = Field(None, description="what its training printed, and on what")
    speed: Speed | None = Field(None, description="as measured on this host, of the variant that answers")


class ModelCards(BaseModel):
    """The models that are served, in the order in which they were named."""

    models: list[ModelCard]


class Problem(BaseModel):
    """What is wrong with one field of a body."""

    loc: list[str | int] = Field(description="where: names of fields and places in arrays; empty for the whole body")
    msg: str = Field(description="what was expected there, and what was found")


class ErrorResponse(BaseModel):
    """Why a whole request was not answered."""

    error: str


class BodyProblems(ErrorResponse):
    """Why a body was not answered, field by field where it is JSON of another shape."""

    detail: list[Problem] = Field(default=[], description="each field that is wrong")


def read_rows(column: InputColumn, rows: Sequence[Any]) -> tuple[list[Any], dict[int, RowFault]]:
    """Turn the rows of a request into values for `Model.encode`.

    Returns:
        The values of the rows that are good so far, in order, and the faults of the others by their position.
    """
    values: list[Any] = []
    faults: dict[int, RowFault] = {}
    for position, row in enumerate(rows):
        if isinstance(row, Mapping) and column.name not in row:
            faults[position] = RowFault(
                kind="MissingColumn",
                message=f"the row lacks {column.name!r}; it has {', '.join(map(repr, list(row)[:5])) or 'nothing'}",
            )
            continue
        value = row[column.name] if isinstance(row, Mapping) else row
        if isinstance(value, RowFault):  # its address was not read
            faults[position] = value
            continue
        if column.kind == "image" and isinstance(value, str | Mapping):
            # Never a place to read from: an image column of a job may hold paths, a request may not.
            try:
                value = read_base64(value if isinstance(value, str) else "")
            except ValueError:
                faults[position] = RowFault(
                    kind="UndecodableImage",
                    message=f"{column.name!r}: expected base64 of an encoded image (or a data: URL, or numbers); "
                    f"found {cut(value)}. Files and addresses are not read over HTTP.",
                )
                continue
        values.append(value)
    return values, faults


def cut(value: Any) -> str:
    """A value as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def read_base64(text: str) -> bytes:
    """Decode base64, alone or in a data: URL; line breaks are let through.

    Raises:
        ValueError: it is something else.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("a data: URL without ;base64")
    data = base64.b64decode("".join(text.split()), validate=True)
    if not data:
        raise ValueError("nothing")
    return data


def merge_answers(rows: int, answers: Sequence[Answer], faults: Mapping[int, RowFault]) -> list[Answer]:
    """Put the answers of the good rows and the faults of the others into the order of the request."""
    remaining = iter(answers)
    return [error_answer(faults[row]) if row in faults else next(remaining) for row in range(rows)]


def error_answer(fault: RowFault) -> Answer:
    return {"error": {"class": fault.kind, "message": fault.message, "attempts": fault.attempts}}


def answers_of(batch: pa.RecordBatch) -> list[Answer]:
    """A decoded batch as JSON objects: scores become an object by label, an error row is its error alone."""
    names = batch.schema.names
    answers: list[Answer] = [
        dict(zip(names, cells, strict=True)) for cells in zip(*map(column_values, batch.columns), strict=True)
    ]
    for position, answer in enumerate(answers):
        error = answer.pop("error", None)
        if error is not None:
            answers[position] = {"error": error}
    return answers


def card_of(model: Model) -> ModelCard:
    spec = model.spec
    return ModelCard(
        name=spec.name,
        model=model.tag,
        digest=model.digest,
        variant=model.variant,
        family=spec.family,
        task=spec.task,
        input=spec.inputs[0],
        output=[field.name for field in spec.output_fields],
        labels=list(spec.labels),
        dimension=spec.dimension,
        max_length=spec.max_length,
        tolerance=model.tolerance or spec.tolerance,
        accuracy=spec.accuracy,
        speed=speed_of(model),
    )
