"""Request: one caller's rows in a lane; Window: the rows of several that are answered together."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.observe.spans import RequestSpan, current_span
from service.schemas import Answer

Priority = Literal["interactive", "background"]


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """One caller's rows, what they are expected to take, and the answers that they have so far.

    Attributes:
        values: of the input column.
        row_s: predicted seconds of each.
        future: where the caller waits.
        priority: whose turn it is first.
        arrived: on the clock of time.monotonic.
        deadline: after which nobody wants the answers; inf where the caller named none.
        due: until when its answers are promised; inf where nothing is.
        taken: rows that windows have taken.
        left_s: predicted seconds of those that they have not.
        answers: as far as they have come.
        span: that the lane's spans lie below; None where nobody traces.
    """

    values: list[Any]
    row_s: Sequence[float]
    future: asyncio.Future[list[Answer]]
    priority: Priority = "interactive"
    arrived: float = field(default_factory=time.monotonic)
    deadline: float = math.inf
    due: float = math.inf
    taken: int = 0
    left_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    span: RequestSpan | None = field(default_factory=current_span)

    def __post_init__(self) -> None:
        self.left_s = sum(self.row_s)

    @property
    def rows_left(self) -> int:
        return len(self.values) - self.taken

    @property
    def answered(self) -> bool:
        return len(self.answers) == len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Consecutive rows of one request, from `start` up to and without `stop`."""

    request: Request
    start: int
    stop: int

    @property
    def values(self) -> list[Any]:
        return self.request.values[self.start : self.stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rows that a worker is given together, and the seconds that they are expected to take."""

    slices: Sequence[Slice]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(part.stop - part.start for part in self.slices)

    @property
    def begun(self) -> list[Request]:
        """The requests whose first row is in this window."""
        return [part.request for part in self.slices if part.start == 0]


def settle(slices: Sequence[Slice], answers: Sequence[Answer], failure: Exception | None) -> None:
    """Give every caller what is his; in the event loop. A caller who has gone is passed over."""
    start = 0
    for part in slices:
        request, rows = part.request, part.stop - part.start
        if not request.future.done():
            if failure is not None:
                request.future.set_exception(failure)
            else:
                request.answers.extend(answers[start : start + rows])
                if request.answered:
                    request.future.set_result(request.answers)
        start += rows
