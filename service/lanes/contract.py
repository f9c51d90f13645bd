"""Lane: what answers the rows of one model, whoever does the arithmetic."""

from __future__ import annotations

from typing import Any, Protocol

from models.spec import ModelSpec
from service.lanes.load import LaneLoad
from service.lanes.request import Priority
from service.observe.lane_metrics import LaneMetrics
from service.schemas import Answer, ModelCard


class Lane(Protocol):
    """One model's queue and worker.

    Attributes:
        spec, tag, digest, variant: the model's.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def tag(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def variant(self) -> str: ...

    @property
    def alive(self) -> bool:
        """Whether it can answer."""

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""

    @property
    def predicted_wait_s(self) -> float:
        """Seconds until everything that is here now is answered."""

    @property
    def metrics(self) -> LaneMetrics:
        """What it has counted since it was opened."""

    def card(self) -> ModelCard:
        """What GET /models says of it."""

    def load(self) -> LaneLoad:
        """What GET /lanes says of it."""

    async def submit(
        self, values: list[Any], *, priority: Priority = "interactive", timeout_s: float | None = None
    ) -> list[Answer]:
        """Answer the values of the input column: one entry for each, in their order.

        A row at fault costs only its own answer. Cancelled, what was not begun is never computed.

        Args:
            values: of the input column.
            priority: `background` takes its turn where nothing interactive needs it.
            timeout_s: so long the caller waits.

        Raises:
            ServiceError: the request as a whole is not answered.
        """

    def close(self) -> None:
        """Take no more rows, answer those that wait, and end the worker."""
