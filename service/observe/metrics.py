"""What a lane says of itself under /metrics, counted in rows, labelled by model."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

ROW_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SECOND_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Counters, as they are called under /metrics: tandem_lane_<name>_total.
COUNTERS = {
    "rows": "Rows answered, error rows included",
    "repeated_rows": "Rows answered with an equal row's answer: not computed",
    "error_rows": "Rows answered by an error",
    "failed_rows": "Rows whose whole window failed: status 500",
    "rejected": "Rows refused because the queue was full",
    "abandoned_rows": "Rows dropped uncomputed because their caller had gone",
    "padded": "Cost that went through the model, padding included",
    "real": "Cost that went through the model, without padding",
}


@cache
def families() -> SimpleNamespace:
    """The metrics of this process: a second set of the same names would be refused.

    The client is imported here, not above: BentoML sets PROMETHEUS_MULTIPROC_DIR for its workers, so that /metrics
    adds them up, and the client reads it when it is imported.
    """
    from prometheus_client import Counter, Gauge, Histogram

    label = ("model",)
    return SimpleNamespace(
        micro_batch_rows=Histogram("tandem_lane_micro_batch_rows", "Rows of a micro-batch", label, buckets=ROW_BUCKETS),
        window_rows=Histogram("tandem_lane_window_rows", "Rows of a window", label, buckets=ROW_BUCKETS),
        wait_seconds=Histogram(
            "tandem_lane_wait_seconds", "From a request's arrival to its first window", label, buckets=SECOND_BUCKETS
        ),
        queue_rows=Gauge("tandem_lane_queue_rows", "Rows that wait", label, multiprocess_mode="livesum"),
        **{name: Counter(f"tandem_lane_{name}", meaning, label) for name, meaning in COUNTERS.items()},
    )


class LaneMetrics:
    """One model's metrics, there from the start with zeros."""

    def __init__(self, tag: str) -> None:
        found = families()
        self.micro_batch_rows = found.micro_batch_rows.labels(tag)
        self.window_rows = found.window_rows.labels(tag)
        self.wait_seconds = found.wait_seconds.labels(tag)
        self.queue_rows = found.queue_rows.labels(tag)
        self.rows = found.rows.labels(tag)
        self.repeated_rows = found.repeated_rows.labels(tag)
        self.error_rows = found.error_rows.labels(tag)
        self.failed_rows = found.failed_rows.labels(tag)
        self.rejected = found.rejected.labels(tag)
        self.abandoned_rows = found.abandoned_rows.labels(tag)
        self.padded = found.padded.labels(tag)
        self.real = found.real.labels(tag)
