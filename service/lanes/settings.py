"""What the operator may say of the lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, whole_number

MAX_QUEUE_ROWS = Setting[int](
    variable="TANDEM_MAX_QUEUE_ROWS", flag="--max-queue-rows", read=whole_number(1, 1_000_000), default=1024,
    metavar="N", help="Rows that may wait for one model, and the most that one request may hold.",
)  # fmt: skip
MAX_WAIT_S = Setting[int](
    variable="TANDEM_MAX_WAIT_S", flag="--max-wait", read=whole_number(1, 3600), default=30, metavar="SECONDS",
    help="Predicted seconds for its turn beyond which a request is refused.",
)  # fmt: skip
LANES = (MAX_QUEUE_ROWS, MAX_WAIT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """How requests wait.

    Attributes:
        max_queue_rows: rows that wait for one lane, and the most that one request may hold.
        max_wait_s: predicted seconds for its turn beyond which a request is refused.
    """

    max_queue_rows: int = MAX_QUEUE_ROWS.default
    max_wait_s: int = MAX_WAIT_S.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> LaneSettings:
        return cls(max_queue_rows=MAX_QUEUE_ROWS.of(environ), max_wait_s=MAX_WAIT_S.of(environ))
