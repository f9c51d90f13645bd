"""What the server says under /metrics of HTTP as a whole, by route: paths as callers write them are not bounded."""

from __future__ import annotations

from service.observe.lane_metrics import SECOND_BUCKETS
from service.observe.numbers import Family, Numbers

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
#: The route of a request that no operation answers.
NO_ROUTE = "none"

FAMILIES = (
    Family(
        name="tandem_http_requests", kind="counter", help="Requests answered, refused ones included",
        labels=("route", "method", "status"),
    ),
    Family(
        name="tandem_http_request_seconds", kind="histogram", help="From a request's head to the end of its answer",
        labels=("route",), buckets=SECOND_BUCKETS,
    ),
    Family(name="tandem_http_requests_in_progress", kind="gauge", help="Requests that are being answered"),
    Family(
        name="tandem_http_request_bytes", kind="counter", help="Bytes of bodies that were read", labels=("route",)
    ),
    Family(
        name="tandem_http_response_bytes", kind="counter", help="Bytes of bodies that were sent", labels=("route",)
    ),
    Family(
        name="tandem_access_log_lost_lines", kind="counter", help="Lines of the access log that could not be written"
    ),
)  # fmt: skip


class HttpMetrics:
    """Requests by route, method and status; their seconds and bytes."""

    def __init__(self) -> None:
        self.numbers = Numbers(FAMILIES)

    def begun(self) -> None:
        self.numbers.add("tandem_http_requests_in_progress", 1)

    def ended(
        self, *, route: str | None, method: str, status: int, seconds: float, received_bytes: int, sent_bytes: int
    ) -> None:
        """A request has its whole answer, or its caller went: then its status is 499."""
        numbers, route = self.numbers, route or NO_ROUTE
        numbers.add("tandem_http_requests_in_progress", -1)
        numbers.add("tandem_http_requests", 1, route, method if method in METHODS else "other", str(status))
        numbers.observe("tandem_http_request_seconds", seconds, route)
        if received_bytes:
            numbers.add("tandem_http_request_bytes", received_bytes, route)
        if sent_bytes:
            numbers.add("tandem_http_response_bytes", sent_bytes, route)

    def lost_lines(self, lines: int) -> None:
        self.numbers.add("tandem_access_log_lost_lines", lines)
