"""Spans: one for each request, and below it what its lane did, sent over OTLP/HTTP where OpenTelemetry's variables say.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`), `..._HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`
and their kin mean what they mean everywhere; the library reads them. A caller's `traceparent` is followed. Where nobody
asks for spans a request costs one look at a variable of its context.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer
    from starlette.types import Scope

    from service.observe.seen import Seen

log = logging.getLogger("bentoml.tandem")

#: At the server's end, what is not sent within so many seconds is not waited for.
FLUSH_S = 5.0


class RequestSpan:
    """The span of one request that is sampled, and the tracer that makes spans below it."""

    __slots__ = ("span", "tracer")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self.tracer, self.span = tracer, span


_CURRENT: ContextVar[RequestSpan | None] = ContextVar("tandem_request_span", default=None)


def current_span() -> RequestSpan | None:
    """The span of the request that is being answered here; None where it has none."""
    return _CURRENT.get()


def asks_for_spans(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables name where spans go, and do not switch them off."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    )
    return any(environ.get(name) for name in names) and not is_off


class Tracing:
    """Makes and sends spans. They are no promise: where they cannot be sent, requests are answered all the same."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("tandem.service")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, scope: Scope, seen: Seen) -> None:
        """A request begins, in its caller's trace where it names one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        span = self._tracer.start_span(
            f"{scope['method']} {seen.route}" if seen.route else scope["method"],
            # An empty context, not the current one: BentoML keeps spans of its own there, which go nowhere.
            context=self._propagator.extract(carrier, context=Context()),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "http.route": seen.route or "",
                "tandem.request_id": seen.request_id,
            },
        )
        if span.is_recording():
            seen.span = RequestSpan(self._tracer, span)
            seen.trace_id = format(span.get_span_context().trace_id, "032x")
        _CURRENT.set(seen.span)

    def end(self, scope: Scope, seen: Seen, *, status: int) -> None:
        """A request has its whole answer."""
        if seen.span is None:
            return
        from opentelemetry.trace import Status, StatusCode

        span = seen.span.span
        span.set_attribute("http.response.status_code", status)
        for name in ("model", "rows"):
            if (fact := scope.get(f"tandem.{name}")) is not None:
                span.set_attribute(f"tandem.{name}", fact)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what waits. In a thread: a collector that does not answer may not hold up the server's end."""
        flush = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        if flush.is_alive():
            log.warning("some spans were not taken within %.0f s and are lost", FLUSH_S)


def open_tracing(environ: Mapping[str, str]) -> Tracing | None:
    """What sends spans, where the environment asks for them and they can be sent; else it says why not, once."""
    if not asks_for_spans(environ):
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        log.warning("no spans are sent: the protocol asked for is %s, and http/protobuf is what is spoken", protocol)
        return None
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
        return None
    name = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "tandem"}
    provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def epoch_ns(monotonic_s: float) -> int:
    """A moment of time.monotonic on the clock of spans."""
    return time.time_ns() - int((time.monotonic() - monotonic_s) * 1e9)
