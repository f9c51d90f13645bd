"""Models: what is served, and how busy it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.client.fields import read_fields, read_list


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model that is served.

    Attributes:
        name: without its version; `model` is with it.
        digest, variant: which files answer, and by which runtime and precision.
        input: `name` and `kind` (text, image, sequence) of the column that it takes.
        output: the columns of its predictions.
        default: whether the bare name means this version; `versions` are all that are served.
        kept: whether a restart of the server serves it again.
        accuracy, speed: as the server tells them.
    """

    name: str
    model: str
    digest: str
    variant: str
    family: str
    task: str
    input: Mapping[str, str]
    output: Sequence[str]
    labels: Sequence[str]
    tolerance: float
    dimension: int | None = None
    max_length: int | None = None
    default: bool = False
    versions: Sequence[str] = ()
    kept: bool = False
    accuracy: Mapping[str, Any] | None = None
    speed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of the last minute's requests, in seconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLoad:
    """How busy one model is.

    Attributes:
        queue_rows, queue_limit_rows: rows that wait, and that may.
        predicted_wait_s: until a newcomer's turn; slo_s: how long an answer may take.
        requests, rows, error_rows, micro_batches: since it was loaded.
        shed: requests that were refused, by reason.
        padded_share: of what is computed; busy_share: of the last minute.
        latency_s: None without requests.
    """

    model: str
    alive: bool
    queue_rows: int
    queue_limit_rows: int
    predicted_wait_s: float
    running_rows: int
    requests: int
    rows: int
    error_rows: int
    micro_batches: int
    slo_s: float | None = None
    shed: Mapping[str, int] = field(default_factory=dict)
    micro_batch_rows_mean: float | None = None
    padded_share: float | None = None
    latency_s: Latency | None = None
    busy_share: float | None = None


def read_card(said: Any) -> ModelCard:
    return read_fields(ModelCard, said)


def read_cards(said: Any) -> list[ModelCard]:
    return [read_card(card) for card in read_list(said, "models")]


def read_lanes(said: Any) -> list[LaneLoad]:
    return [read_lane(lane) for lane in read_list(said, "lanes")]


def read_lane(said: Any) -> LaneLoad:
    latency = said.get("latency_s") if isinstance(said, Mapping) else None
    return read_fields(LaneLoad, said, latency_s=None if latency is None else read_fields(Latency, latency))
