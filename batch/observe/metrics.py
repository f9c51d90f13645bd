"""Metrics: what Prometheus reads of a running job, workers' included, on a port of the process that leads them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from batch.errors import UsageError

#: The rate is over the rows of so many seconds: shorter than a scrape's usual interval tells too little.
RATE_S = 30.0


class MetricsProgress:
    """Counts what it is told, and serves it at `url` from being made until its block ends.

    All counts are of this run; rows and shards that earlier runs committed count as done.

    Raises:
        UsageError: prometheus_client is not installed, or the address cannot be listened on.
    """

    def __init__(self, *, port: int, host: str) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
        except ImportError:
            raise UsageError(
                f"--metrics-port {port} needs prometheus_client, which is not installed; "
                "pip install 'tandem-inference[metrics]', or leave it out."
            ) from None
        registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Any:
            return Counter(f"tandem_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return Gauge(f"tandem_{name}", text, labels, registry=registry)

        self.job = gauge("job", "The job that runs, always 1.", "model", "variant", "fingerprint")
        self.started = gauge("started_seconds", "When the run began, in seconds since 1970.")
        self.rows = gauge("rows", "Input rows of the job.", "state")
        self.shards = gauge("shards", "Shards of this run.", "state")
        self.answered = counter("rows_answered", "Input rows answered by this run, those of shards in hand included.")
        self.rate = gauge("rows_per_second", f"Input rows answered a second over the last {RATE_S:.0f} seconds.")
        self.errors = counter("error_rows", "Error rows in the parts that this run committed.", "class")
        self.steps = counter("step_seconds", "Seconds that a step of the journey worked; steps overlap.", "step")
        self.micro_batches = counter("micro_batches", "Calls of the model.")
        self.units = counter("units", "Tokens, steps or images that went through the arithmetic.", "kind")
        self.padding = gauge("padding_share", "Share of them that was padding.")
        self.events = counter("events", "Changes of the job's state, by what the log calls them.", "event")
        self.started.set(time.time())
        self.rate.set_function(self.rows_per_second)
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._total = self._left = self._done = 0
        self._real = self._padded = 0
        try:
            self.server, self.thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise UsageError(
                f"--metrics-port {port}: cannot listen on {host}:{port} ({error.strerror or error}). "
                "Choose another port, or 0 for a free one."
            ) from None
        except OverflowError:
            raise UsageError(f"--metrics-port {port}: expected 0 to 65535.") from None
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server.server_port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        self._left, self._done = shards, 0
        self.rows.labels("planned").set(rows)
        self.rows.labels("done").set(done_rows)
        self._count_shards(0)

    def advanced(self, rows: int) -> None:
        self.answered.inc(rows)
        self.rows.labels("done").inc(rows)
        with self._lock:
            self._total += rows
            self._seen.append((time.monotonic(), self._total))
            self._forget()

    def told(self, event: str, **facts: Any) -> None:
        self.events.labels(event).inc()
        if event == "prepared":
            self.job.labels(facts["model"], facts["variant"], facts["fingerprint"]).set(1)
        elif event == "committed":
            self._count_part(**facts)
            self._count_shards(1)
        elif event == "already committed":
            self._count_shards(1)

    def rows_per_second(self) -> float:
        """Of the last RATE_S seconds, or since the run began where that is less; 0 once nothing is answered in them."""
        now = time.monotonic()
        with self._lock:
            self._forget()
            since, before = self._seen[0]
            return (self._total - before) / max(min(now - since, RATE_S), 1e-3) if self._total > before else 0.0

    def _forget(self) -> None:
        """Keep of what is older than the rate's seconds only the last."""
        edge = time.monotonic() - RATE_S
        while len(self._seen) > 1 and self._seen[1][0] <= edge:
            self._seen.popleft()

    def _count_shards(self, done: int) -> None:
        self._done += done
        self.shards.labels("done").set(self._done)
        self.shards.labels("left").set(max(self._left - self._done, 0))

    def _count_part(
        self, *, errors_by_class: Mapping[str, int], spent_s: Mapping[str, float], work: Mapping[str, int], **_: object
    ) -> None:
        for kind, rows in errors_by_class.items():
            self.errors.labels(kind).inc(rows)
        for step, seconds in spent_s.items():
            self.steps.labels(step).inc(max(seconds, 0.0))
        self.micro_batches.inc(work["micro_batches"])
        self.units.labels("real").inc(work["real"])
        self.units.labels("padding").inc(work["padded"] - work["real"])
        self._real, self._padded = self._real + work["real"], self._padded + work["padded"]
        self.padding.set(1 - self._real / self._padded if self._padded else 0.0)
