"""GET /metrics: everything that the server has counted, as Prometheus reads it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.observe.numbers import Family, Labels, describe_numbers
from service.operations import Answered, Operation
from service.serving import Serving, serving_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

QUEUE_ROWS = Family(name="tandem_lane_queue_rows", kind="gauge", help="Rows that wait", labels=("model",))
WAIT = Family(
    name="tandem_lane_predicted_wait_seconds", kind="gauge", labels=("model",),
    help="Seconds until everything interactive that waits now is answered",
)  # fmt: skip
UP = Family(name="tandem_lane_up", kind="gauge", help="1 where the lane can answer, else 0", labels=("model",))
SERVED = Family(
    name="tandem_lane_model", kind="gauge", help="What the lane serves, always 1",
    labels=("model", "variant", "digest", "family"),
)  # fmt: skip
BUILD = Family(name="tandem_build", kind="gauge", help="The server that runs, always 1", labels=("version",))


async def metrics(request: Request) -> Response:
    """All series as they are now. Lanes that have been closed are in none."""
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    text = await run_in_threadpool(generate_latest, registry_of(serving_of(request)))
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


@cache
def registry_of(serving: Serving) -> CollectorRegistry:
    """What Prometheus's library asks of this server, and of its process."""
    from prometheus_client import CollectorRegistry, ProcessCollector

    class Everything:
        def collect(self) -> list[Metric]:
            return collect(serving)

    registry = CollectorRegistry(auto_describe=False)
    found: Any = Everything()
    registry.register(found)
    ProcessCollector(registry=registry)
    return registry


def collect(serving: Serving) -> list[Metric]:
    """What was counted, and what the lanes say of themselves at this moment."""
    lanes = list(serving.models)
    queued: dict[Labels, float] = {(lane.tag,): lane.queued_rows for lane in lanes}
    waits: dict[Labels, float] = {(lane.tag,): lane.predicted_wait_s for lane in lanes}
    up: dict[Labels, float] = {(lane.tag,): float(lane.alive) for lane in lanes}
    served: dict[Labels, float] = {(lane.tag, lane.variant, lane.digest[:12], lane.spec.family): 1 for lane in lanes}
    return describe_numbers(
        [serving.http.numbers, serving.events.numbers, *(lane.metrics.numbers for lane in lanes)],
        [
            (QUEUE_ROWS, queued),
            (WAIT, waits),
            (UP, up),
            (SERVED, served),
            (BUILD, {(version("tandem-inference"),): 1}),
        ],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        handle=metrics,
        action="admin",
        summary="What the server has counted, for Prometheus",
        tag="Operation",
        answers={
            200: Answered(description="Prometheus's text format", content={"text/plain": {"type": "string"}}),
        },
    ),
)
