"""What a lane says of itself under /metrics, counted in rows, labelled by model."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

ROW_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SECOND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class LaneMetrics:
    """The lanes' metrics, one set for a process: a second one of the same names would be refused."""

    def __init__(self) -> None:
        # Imported here: BentoML sets PROMETHEUS_MULTIPROC_DIR for its workers, and the client reads it at import.
        from prometheus_client import Counter, Gauge, Histogram

        label = ("model",)
        self.micro_batch_rows: Histogram = Histogram(
            "tandem_lane_micro_batch_rows", "Rows of a micro-batch", label, buckets=ROW_BUCKETS
        )
        self.wait_seconds: Histogram = Histogram(
            "tandem_lane_wait_seconds",
            "From a request's arrival to its first row's window",
            label,
            buckets=SECOND_BUCKETS,
        )
        self.rows: Counter = Counter("tandem_lane_rows", "Rows answered, error rows included", label)
        self.repeated: Counter = Counter(
            "tandem_lane_repeated_rows", "Rows answered with an equal row's answer: not computed", label
        )
        self.error_rows: Counter = Counter("tandem_lane_error_rows", "Rows answered by an error", label)
        self.failed_rows: Counter = Counter(
            "tandem_lane_failed_rows", "Rows whose whole window failed: status 500", label
        )
        self.rejected: Counter = Counter("tandem_lane_rejected", "Rows refused because the queue was full", label)
        self.abandoned: Counter = Counter(
            "tandem_lane_abandoned_rows", "Rows dropped uncomputed because their caller had gone", label
        )
        self.padded: Counter = Counter(
            "tandem_lane_padded", "Cost that went through the model, padding included", label
        )
        self.real: Counter = Counter("tandem_lane_real", "Cost that went through the model, without padding", label)
        self.queue_rows: Gauge = Gauge("tandem_lane_queue_rows", "Rows that wait", label, multiprocess_mode="livesum")


@cache
def lane_metrics() -> LaneMetrics:
    """The metrics of this process."""
    return LaneMetrics()
