"""A model under trial: asked for rows in several ways, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from models.compare import Answer, answer_distance
from models.errors import is_interrupt
from models.model import Model
from models.values import cut


class Broken(Exception):
    """Carries what was found out of the trial that found it."""


class Trial:
    """A model and the rows that it is tried with; what it answered is kept, so that no rows are asked for twice."""

    def __init__(self, model: Model, samples: Sequence[Any]) -> None:
        self.model, self.samples, self.tolerance = model, samples, model.spec.tolerance
        self._answers: dict[str, list[dict[str, Any]]] = {}

    def answer(self, what: str, values: Any) -> list[dict[str, Any]]:
        """The answers to `values`, which `what` names.

        Raises:
            Broken: an exception, or another number of answers than rows.
        """
        if what not in self._answers:
            answers = self.answer_batch(what, values).to_pylist()
            if len(answers) != len(values):
                raise Broken(f"{len(answers)} answers to {what} of {len(values)} rows")
            self._answers[what] = answers
        return self._answers[what]

    def answer_batch(self, what: str, values: Any) -> pa.RecordBatch:
        """The answers to `values` as the model gives them.

        Raises:
            Broken: an exception, or something else than a RecordBatch.
        """
        try:
            batch = self.model.predict_values(values)
        except BaseException as error:  # whatever an operator's class raises
            if is_interrupt(error):
                raise
            raise Broken(f"{what} raised {type(error).__name__}: {cut(str(error), 200)}") from None
        if not isinstance(batch, pa.RecordBatch):
            raise Broken(f"{what} returned {type(batch).__name__}, no RecordBatch")
        return batch

    def together(self) -> list[dict[str, Any]]:
        """The answers to the whole sample.

        Raises:
            Broken: also where there is no sample.
        """
        if not self.samples:
            raise Broken("no sample rows, so nothing could be tried")
        return self.answer("the sample", list(self.samples))

    def alone(self, row: int) -> dict[str, Any]:
        """The answer to one row of the sample that is given alone."""
        return self.answer(f"row {row} alone", [self.samples[row]])[0]

    def owners(self, answers: Sequence[Answer], rows: Sequence[int]) -> list[int] | None:
        """Whose answer each one is, by what the rows are answered alone; None where one is nobody's.

        An answer that could be its own row's is.
        """
        is_own = [self.is_answer(answer, row) for answer, row in zip(answers, rows, strict=True)]
        strays = [row for row, own in zip(rows, is_own, strict=True) if not own]
        owners: list[int] = []
        for answer, row, own in zip(answers, rows, is_own, strict=True):
            fitting = [row] if own else [stray for stray in strays if self.is_answer(answer, stray)]
            if not fitting:
                return None
            owners.append(fitting[0])
        return owners

    def is_answer(self, answer: Answer, row: int) -> bool:
        """Whether an answer is the one that a row gets alone."""
        return answer_distance(answer, self.alone(row)) <= self.tolerance
