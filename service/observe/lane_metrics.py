"""What a lane says of itself under /metrics, counted in rows and in requests, labelled by model."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from models.window import WindowStats
from service.observe.numbers import Family, Numbers

ROW_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
SECOND_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

#: How many classes of errors are told apart; they come from models' own code, and a label must be bounded.
MOST_CLASSES = 50


def counter(name: str, text: str, *labels: str) -> Family:
    return Family(name=f"tandem_lane_{name}", kind="counter", help=text, labels=("model", *labels))


def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Family:
    return Family(name=f"tandem_lane_{name}", kind="histogram", help=text, labels=("model",), buckets=buckets)


COUNTED = (
    counter("requests", "Requests that the lane took or refused, by what became of them", "outcome"),
    counter("rows", "Rows answered, error rows included"),
    counter("error_rows", "Rows answered by an error, by its class", "class"),
    counter("failed_rows", "Rows whose whole window failed: status 500"),
    counter("repeated_rows", "Rows answered with an equal row's answer: not computed"),
    counter("shed", "Requests refused or given up before they were computed, by why", "reason"),
    counter("shed_rows", "Rows of those requests that were not computed, by why", "reason"),
    counter("padded", "Cost that went through the model, padding included"),
    counter("real", "Cost that went through the model, without padding"),
    counter("busy_seconds", "Seconds in which the lane's worker answered a window"),
    histogram("micro_batch_rows", "Rows of a micro-batch", ROW_BUCKETS),
    histogram("window_rows", "Rows of a window", ROW_BUCKETS),
    histogram("wait_seconds", "From a request's arrival to its first window", SECOND_BUCKETS),
    histogram("request_seconds", "From a request's arrival in the lane to its answer", SECOND_BUCKETS),
)

#: Why requests are shed; further words are let through.
REASONS = ("queue_full", "too_many_rows", "predicted_wait", "deadline", "closed", "left")
OUTCOMES = ("answered", "shed", "failed", "left")


class Bounded:
    """Names as they are, until there are too many different ones: then `other`."""

    def __init__(self, most: int) -> None:
        self.most, self._seen, self._lock = most, set[str](), threading.Lock()

    def __call__(self, name: str) -> str:
        name = name[:80]
        with self._lock:
            if name not in self._seen and len(self._seen) >= self.most:
                return "other"
            self._seen.add(name)
            return name


class LaneMetrics:
    """One lane's numbers, there from the start with zeros and gone with the lane. Any thread may call.

    A request is `shed`, or let in; one that was let in ends as `answered`, `failed`, or `left` by its caller.
    """

    def __init__(self, tag: str) -> None:
        self.numbers = Numbers(COUNTED, common=(tag,))
        self._class_of = Bounded(MOST_CLASSES)
        for outcome in OUTCOMES:
            self.numbers.start("tandem_lane_requests", outcome)
        for reason in REASONS:
            self.numbers.start("tandem_lane_shed", reason)
            self.numbers.start("tandem_lane_shed_rows", reason)

    def shed(self, reason: str, rows: int) -> None:
        """A request was refused; `reason` is a word of our own, such as `queue_full`."""
        self._shed(reason, rows, "shed")

    def left(self, rows: int) -> None:
        """A caller went before his answer was there; `rows` of his are never computed."""
        self._shed("left", rows, "left")

    def answered(self, seconds: float) -> None:
        """A request has all its answers, so many seconds after its arrival."""
        self.numbers.add("tandem_lane_requests", 1, "answered")
        self.numbers.observe("tandem_lane_request_seconds", seconds)

    def failed(self) -> None:
        """A request has no answer, since a window that held rows of it failed."""
        self.numbers.add("tandem_lane_requests", 1, "failed")

    def window_begun(self, rows: int, waited_s: Iterable[float]) -> None:
        """A window begins; `waited_s` is of the requests whose first row is in it."""
        self.numbers.observe("tandem_lane_window_rows", rows)
        for seconds in waited_s:
            self.numbers.observe("tandem_lane_wait_seconds", seconds)

    def micro_batch(self, rows: int) -> None:
        """So many rows go through the model together."""
        self.numbers.observe("tandem_lane_micro_batch_rows", rows)

    def window_answered(self, rows: int, *, seconds: float, stats: WindowStats, errors: Iterable[str]) -> None:
        """A window was answered; `errors` are the classes of its error rows."""
        self.numbers.add("tandem_lane_rows", rows)
        self.numbers.add("tandem_lane_busy_seconds", seconds)
        self.numbers.add("tandem_lane_padded", stats.padded)
        self.numbers.add("tandem_lane_real", stats.real)
        self.numbers.add("tandem_lane_repeated_rows", stats.repeated)
        for kind in errors:
            self.numbers.add("tandem_lane_error_rows", 1, self._class_of(kind))

    def window_failed(self, rows: int, *, seconds: float) -> None:
        """The model broke down over a window; none of its rows has an answer."""
        self.numbers.add("tandem_lane_failed_rows", rows)
        self.numbers.add("tandem_lane_busy_seconds", seconds)

    def _shed(self, reason: str, rows: int, outcome: str) -> None:
        self.numbers.add("tandem_lane_requests", 1, outcome)
        self.numbers.add("tandem_lane_shed", 1, reason)
        self.numbers.add("tandem_lane_shed_rows", rows, reason)
