"""Answers: what a model says of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from service.client.fields import read_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """Why one row has no prediction.

    Attributes:
        kind: the error's class, such as `NullValue` or `UndecodableImage`.
        message: in one line.
        attempts: how often the row was tried.
    """

    kind: str
    message: str
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row's prediction, or its error. What the model's task does not give is None.

    Attributes:
        label, score: the likeliest label, and how likely it is.
        scores: by label.
        labels: of a model that gives several.
        embedding: the vector of a model that embeds.
        truncated: whether the row was longer than the model reads, and cut off.
        error: why there is no prediction; None of a good row.
    """

    label: str | None = None
    score: float | None = None
    scores: Mapping[str, float] | None = None
    labels: Sequence[str] | None = None
    embedding: Sequence[float] | None = None
    truncated: bool = False
    error: RowError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions(Sequence[Answer]):
    """The answers to the rows of one request, in their order.

    Attributes:
        model: `name:version` of the model that answered.
        digest: of its files.
        variant: runtime and precision, such as `onnx-fp32`.
        answers: one for each row.
    """

    model: str
    digest: str
    variant: str
    answers: tuple[Answer, ...]

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Answer, ...]: ...
    def __getitem__(self, place: int | slice) -> Answer | tuple[Answer, ...]:
        return self.answers[place]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.answers)

    @property
    def errors(self) -> dict[int, RowError]:
        """The rows that were not answered, by their position."""
        return {place: answer.error for place, answer in enumerate(self.answers) if answer.error is not None}


def read_answer(said: Any) -> Answer:
    """One entry of `predictions`."""
    error = said.get("error") if isinstance(said, Mapping) else None
    if error is None:
        return read_fields(Answer, said)
    kind = error.get("class") if isinstance(error, Mapping) else None
    return read_fields(Answer, said, error=read_fields(RowError, error, kind=str(kind)))


def read_predictions(said: Any, *, rows: int) -> Predictions:
    """The answer of POST /predict.

    Raises:
        ValueError: it is something else, or of another number of rows.
    """
    entries = said.get("predictions") if isinstance(said, Mapping) else None
    if not isinstance(entries, list) or len(entries) != rows:
        found = f"{len(entries)}" if isinstance(entries, list) else "no"
        raise ValueError(f"{rows} rows were sent, and {found} predictions came back")
    return read_fields(Predictions, said, answers=tuple(map(read_answer, entries)))
