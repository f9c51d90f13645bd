"""Spans: one for the run and one for each shard, sent over OTLP/HTTP where OpenTelemetry's own variables say.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`), `..._HEADERS`, `..._TIMEOUT`, `OTEL_SERVICE_NAME` and
`OTEL_RESOURCE_ATTRIBUTES` mean what they mean everywhere; the library reads them. Spans are no promise of the job:
where they cannot be sent, it says so once and goes on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

log = logging.getLogger("tandem")

#: At the end of a run, what is not sent within so many seconds is not waited for.
FLUSH_S = 5.0


class SpanProgress:
    """Makes spans of what it is told."""

    def __init__(self) -> None:
        self.tracer: Any = None
        self.provider: Any = None
        self.run: Any = None
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        if protocol not in (None, "", "http/protobuf"):
            log.warning(
                "no spans are sent: the protocol asked for is %s, and http/protobuf is what is spoken", protocol
            )
            return
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            log.warning(
                "no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT is set and OpenTelemetry's exporter is not installed; "
                "pip install 'tandem-inference[otel]', or unset it"
            )
            return
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "tandem"}
        self.provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = self.provider.get_tracer("tandem")

    def __enter__(self) -> Self:
        if self.tracer is not None:
            self.run = self.tracer.start_span("tandem run", context=_outer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.run is None:
            return
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            self.run.set_attributes({"error.type": type(error).__name__, "tandem.exit_code": exit_code(error)})
            self.run.set_status(Status(StatusCode.ERROR, " ".join(str(error).split())[:500]))
        self.run.end()
        # In a thread: a collector that does not answer may not hold up the end of a job.
        flush = threading.Thread(target=self.provider.shutdown, name="spans", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        if flush.is_alive():
            log.warning("some spans were not taken within %.0f s and are lost; the job is not", FLUSH_S)

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        if self.run is not None:
            self.run.set_attributes(
                {"tandem.shards": shards, "tandem.rows": rows, "tandem.rows_done_before": done_rows}
            )

    def advanced(self, rows: int) -> None:
        pass

    def told(self, event: str, **facts: Any) -> None:
        if self.run is None:
            return
        if event == "prepared":
            self.run.set_attributes({f"tandem.{name}": fact for name, fact in facts.items()})
        elif event == "committed":
            self._tell_shard(**facts)
        else:
            self.run.add_event(event, {name: str(fact) for name, fact in facts.items()})

    def _tell_shard(
        self,
        *,
        shard: str,
        rows: int,
        errors: int,
        errors_by_class: Mapping[str, int],
        spent_s: Mapping[str, float],
        work: Mapping[str, Any],
        **_: object,
    ) -> None:
        from opentelemetry.trace import set_span_in_context

        began = int(datetime.fromisoformat(work["began"]).timestamp() * 1e9)
        attributes: dict[str, Any] = {"tandem.shard": shard, "tandem.rows": rows, "tandem.error_rows": errors}
        attributes |= {f"tandem.errors.{kind}": count for kind, count in errors_by_class.items()}
        attributes |= {f"tandem.seconds.{step}": seconds for step, seconds in spent_s.items()}
        attributes |= {f"tandem.{name}": number for name, number in work.items() if name != "began"}
        span = self.tracer.start_span(
            "tandem shard", context=set_span_in_context(self.run), start_time=began, attributes=attributes
        )
        span.end(end_time=max(time.time_ns(), began))


def exit_code(error: BaseException) -> int:
    """The command's; a fault of our own ends it with 1, as Python does."""
    code = getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1


def _outer() -> Any:
    """The trace that whoever started the command is in, if the variable TRACEPARENT names one."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": os.environ.get("TRACEPARENT", "")})
