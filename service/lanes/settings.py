"""What the operator may say of the lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, names, whole_number

MAX_QUEUE_ROWS = Setting[int](
    variable="TANDEM_MAX_QUEUE_ROWS", flag="--max-queue-rows", read=whole_number(1, 1_000_000), default=1024,
    metavar="N", help="Rows that may wait for one model, and the most that one request may hold.",
)  # fmt: skip
MAX_WAIT_S = Setting[int](
    variable="TANDEM_MAX_WAIT_S", flag="--max-wait", read=whole_number(1, 3600), default=30, metavar="SECONDS",
    help="Predicted seconds for its turn beyond which a request is refused.",
)  # fmt: skip
KEEP_FREE_MB = Setting[int](
    variable="TANDEM_KEEP_FREE_MB", flag="--keep-free-mb", read=whole_number(0, 1 << 20), default=256, metavar="MIB",
    help="Memory that must stay free: POST /models/load refuses a model that would leave less.",
)  # fmt: skip
MAY_LOAD = Setting[tuple[str, ...]](
    variable="TANDEM_MAY_LOAD", flag="--may-load", read=names, default=(), metavar="NAME,NAME",
    help="Folders, s3:// prefixes (with a / at the end: all below) and classes that POST /models/load may load too. "
    "Tags of the model store it always may.",
)  # fmt: skip
LANES = (MAX_QUEUE_ROWS, MAX_WAIT_S, KEEP_FREE_MB, MAY_LOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """How requests wait.

    Attributes:
        max_queue_rows: rows that wait for one lane, and the most that one request may hold.
        max_wait_s: predicted seconds for its turn beyond which a request is refused.
        keep_free_bytes: of memory, that a model loaded at runtime must leave.
        may_load: names beyond store tags that may be loaded at runtime.
    """

    max_queue_rows: int = MAX_QUEUE_ROWS.default
    max_wait_s: int = MAX_WAIT_S.default
    keep_free_bytes: int = KEEP_FREE_MB.default << 20
    may_load: tuple[str, ...] = MAY_LOAD.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> LaneSettings:
        return cls(
            max_queue_rows=MAX_QUEUE_ROWS.of(environ),
            max_wait_s=MAX_WAIT_S.of(environ),
            keep_free_bytes=KEEP_FREE_MB.of(environ) << 20,
            may_load=MAY_LOAD.of(environ),
        )
