"""Fan out: whoever shows a job's progress is told, and Prometheus and OpenTelemetry besides where asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from batch.progress import Progress


class FanOut:
    """Tells several what one is told, in their order."""

    def __init__(self, told: Sequence[Progress]) -> None:
        self.each = told

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        for one in self.each:
            one.planned(shards=shards, rows=rows, done_rows=done_rows)

    def advanced(self, rows: int) -> None:
        for one in self.each:
            one.advanced(rows)

    def told(self, event: str, **facts: object) -> None:
        for one in self.each:
            one.told(event, **facts)


@contextmanager
def observed(progress: Progress, *, port: int | None, host: str) -> Iterator[Progress]:
    """The progress of a run, seen by whom the job and the environment name; costs nothing where they name nobody.

    Args:
        progress: who is told in any case.
        port: for Prometheus; None is none.
        host: the address that the port is on.

    Raises:
        UsageError: the port is taken, or what is asked for is not installed; nothing has been done by then.
    """
    with ExitStack() as observers:
        each = [progress]
        if port is not None:
            from batch.observe.metrics import MetricsProgress

            metrics = observers.enter_context(MetricsProgress(port=port, host=host))
            progress.told("metrics", url=metrics.url)
            each.append(metrics)
        if asks_for_spans(os.environ):
            from batch.observe.spans import SpanProgress

            each.append(observers.enter_context(SpanProgress()))
        yield FanOut(each) if len(each) > 1 else progress


def asks_for_spans(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables name where spans go, and do not switch them off."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    )
    return any(environment.get(name) for name in names) and not off
