"""LaneLoad: what a lane says of itself at this moment, under GET /lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from service.lanes.lane import Lane

ShedReason = Literal["queue_full", "too_many_rows", "predicted_wait", "deadline", "closed", "left"]


class LatencyQuantiles(BaseModel):
    """Seconds from a request's arrival in the lane to its answer, over the last minute."""

    p50: float
    p90: float
    p99: float


class LaneLoad(BaseModel):
    """One lane: what waits, what runs, and what it has done since it was opened."""

    model: str = Field(description="`name:version`")
    alive: bool = Field(description="whether it can answer")
    queue_rows: int = Field(description="rows that wait")
    queue_limit_rows: int = Field(description="rows that may wait")
    running_rows: int = Field(description="rows of the window that is being answered")
    predicted_wait_s: float = Field(description="until everything interactive that is here now is answered")
    slo_s: float = Field(description="within what requests are to be answered: --latency-slo")
    requests: int = Field(description="answered")
    rows: int = Field(description="answered, error rows included")
    error_rows: int
    shed: dict[ShedReason, int] = Field(description="requests that were not answered, by why")
    micro_batches: int
    micro_batch_rows_mean: float | None = Field(description="null before the first")
    padded_share: float | None = Field(description="what of the arithmetic went into padding; null before any")
    latency_s: LatencyQuantiles | None = Field(description="of the last minute; null without requests")
    busy_share: float = Field(description="part of the last minute in which the worker was busy")


class LaneLoads(BaseModel):
    """All lanes, in the order in which they were opened."""

    lanes: list[LaneLoad]


def describe_load(lane: Lane) -> LaneLoad:
    """A lane as it is now."""
    numbers, queue = lane.metrics.numbers, lane.queue
    shed = numbers.by_label("tandem_lane_shed")
    micro_batches = int(numbers.value("tandem_lane_micro_batch_rows"))
    computed = numbers.total("tandem_lane_micro_batch_rows")
    padded, real = numbers.value("tandem_lane_padded"), numbers.value("tandem_lane_real")
    p50, p90, p99 = lane.recent.quantiles((0.5, 0.9, 0.99))
    return LaneLoad(
        model=lane.tag,
        alive=lane.alive,
        queue_rows=queue.rows,
        queue_limit_rows=queue.max_rows,
        running_rows=queue.running_rows,
        predicted_wait_s=queue.predicted_wait_s(),
        slo_s=queue.slo_s,
        requests=int(numbers.value("tandem_lane_requests", "answered")),
        rows=int(numbers.value("tandem_lane_rows")),
        error_rows=int(sum(numbers.by_label("tandem_lane_error_rows").values())),
        shed={reason: int(shed.get(reason, 0)) for reason in get_args(ShedReason)},
        micro_batches=micro_batches,
        micro_batch_rows_mean=computed / micro_batches if micro_batches else None,
        padded_share=1 - real / padded if padded else None,
        latency_s=None if p50 is None or p90 is None or p99 is None else LatencyQuantiles(p50=p50, p90=p90, p99=p99),
        busy_share=lane.recent.busy_share,
    )
