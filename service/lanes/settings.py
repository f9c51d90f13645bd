"""What the operator may say of the lanes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.setting import Setting, names, whole_number

#: Latency goals from a millisecond to an hour.
LEAST_S, MOST_S = 0.001, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySlo:
    """The latency goal of each model, in seconds.

    Attributes:
        default_s: of a model that is not named.
        by_name: by `name` or `name:version`.
    """

    default_s: float = 0.5
    by_name: Mapping[str, float] = field(default_factory=dict)

    def of(self, tag: str) -> float:
        """The goal of one model."""
        return self.by_name.get(tag, self.by_name.get(tag.partition(":")[0], self.default_s))


def read_latency_slo(text: str) -> LatencySlo:
    """`500ms`, or `bbc-bert=200ms,1s`: goals of models, and one without a name for all others."""
    expected = "a time such as 500ms or 1s, or model=time, between commas"
    default_s, by_name = LatencySlo().default_s, dict[str, float]()
    for part in text.split(","):
        name, is_named, goal = part.strip().rpartition("=")
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s)", goal.strip(), re.ASCII)
        seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
        if not LEAST_S <= seconds <= MOST_S or (is_named and not name.strip()):
            raise ValueError(f"{expected}; from 1ms to 3600s")
        if is_named:
            by_name[name.strip()] = seconds
        else:
            default_s = seconds
    return LatencySlo(default_s=default_s, by_name=by_name)


LATENCY_SLO = Setting[LatencySlo](
    variable="TANDEM_LATENCY_SLO", flag="--latency-slo", read=read_latency_slo, default=LatencySlo(),
    metavar="[MODEL=]TIME,..",
    help="Within what requests are to be answered, such as 500ms or bbc-bert=200ms,1s; who would have to wait longer "
    "is refused at once. Default: 500ms.",
)  # fmt: skip
MAX_QUEUE_ROWS = Setting[int](
    variable="TANDEM_MAX_QUEUE_ROWS", flag="--max-queue-rows", read=whole_number(1, 1_000_000), default=1024,
    metavar="N", help="Rows that may wait for one model, and the most of one request (not of lines).",
)  # fmt: skip
MAX_WAIT_S = Setting[int](
    variable="TANDEM_MAX_WAIT_S", flag="--max-wait", read=whole_number(1, 3600), default=30, metavar="SECONDS",
    help="Predicted seconds beyond which a request is refused whose rows alone take longer than the latency goal.",
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
LANES = (LATENCY_SLO, MAX_QUEUE_ROWS, MAX_WAIT_S, KEEP_FREE_MB, MAY_LOAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """How requests wait.

    Attributes:
        latency_slo: within what requests are to be answered.
        max_queue_rows: rows that wait for one lane, and the most that one request may hold.
        max_wait_s: predicted seconds beyond which a request is refused that is too large for the latency goal.
        keep_free_bytes: of memory, that a model loaded at runtime must leave.
        may_load: names beyond store tags that may be loaded at runtime.
    """

    latency_slo: LatencySlo = LATENCY_SLO.default
    max_queue_rows: int = MAX_QUEUE_ROWS.default
    max_wait_s: int = MAX_WAIT_S.default
    keep_free_bytes: int = KEEP_FREE_MB.default << 20
    may_load: tuple[str, ...] = MAY_LOAD.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> LaneSettings:
        return cls(
            latency_slo=LATENCY_SLO.of(environ),
            max_queue_rows=MAX_QUEUE_ROWS.of(environ),
            max_wait_s=MAX_WAIT_S.of(environ),
            keep_free_bytes=KEEP_FREE_MB.of(environ) << 20,
            may_load=MAY_LOAD.of(environ),
        )
