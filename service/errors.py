"""What can go wrong with a request, and its HTTP status.

ServiceError
├── SettingsInvalid     (at start)  an environment variable says something it may not
├── RequestInvalid      400         the body is no JSON, or not of the request's shape
├── UnknownModel        404         no lane of that name
├── TooManyRows         413         more rows in one request than the queue holds
├── ModelFailed         500         the model broke down over a window; none of its callers has an answer
├── CallerGone          499         the caller closed the connection; nobody reads this
├── LaneClosed          503         the server is stopping
├── ModelDown           503         the model's process ended, and none comes back
├── QueueFull           503         the lane's queue is full; Retry-After says for how long
├── WaitTooLong         503         the latency goal cannot be met now; Retry-After says for how long
├── DeadlineUnmeetable  503         the caller's own deadline cannot be met
├── DeadlinePassed      504         the caller's own deadline passed while his rows waited
└── LaneHangs           504         the model has not answered for far longer than it ever should
A row that cannot be answered is no error of the request: it is an entry `{"error": ...}` among the predictions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from models.say import one_line

#: Something like a place on this machine: what a caller is not told.
PLACE = re.compile(r"(?<![\w/])(?!(?<=:)//)/[^\s:;,'\"()]*/([^\s:;,'\"()/]+)")


def hide_places(text: str) -> str:
    """A message without the folders that it names."""
    return PLACE.sub(r"\1", text)


class ServiceError(Exception):
    """A request that is not answered, said in one line."""

    status = 500

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that the answer carries."""
        return {}


class SettingsInvalid(ServiceError):
    """An environment variable that the server cannot follow."""

    def __init__(self, variable: str, *, found: str, expected: str) -> None:
        super().__init__(f"{variable}={found!r}: expected {expected}.")
        self.variable, self.found, self.expected = variable, found, expected


class RequestInvalid(ServiceError):
    """A request that is not of the shape that is asked for; says where, what was expected and what was found."""

    status = 400

    @property
    def detail(self) -> list[dict[str, Any]]:
        """Each field that is wrong, where the body is JSON."""
        return []


class UnknownModel(ServiceError):
    """A model that this server does not serve."""

    status = 404

    def __init__(self, name: str, *, known: Sequence[str]) -> None:
        super().__init__(
            f"model: {name[:200]!r} is not served here; known: {', '.join(known) or 'none'}. "
            "POST /models/load loads another; which ones the server starts with is said by tandem serve NAME NAME."
        )
        self.name, self.known = name, tuple(known)


class TooManyRows(ServiceError):
    """One request with more rows than the queue ever holds."""

    status = 413

    def __init__(self, *, rows: int, limit: int) -> None:
        super().__init__(
            f"rows: found {rows} rows, at most {limit} fit into one request (TANDEM_MAX_QUEUE_ROWS). "
            "Send several requests; for whole files there is: tandem run."
        )
        self.rows, self.limit = rows, limit


class ModelFailed(ServiceError):
    """The model raised where no row could be singled out.

    Args:
        step: in which it did: encode, forward, decode; empty where that is not known.
    """

    def __init__(self, model: str, *, rows: int, cause: BaseException, step: str = "") -> None:
        said = hide_places(one_line(f"{type(cause).__name__}: {cause}"))[:400]
        super().__init__(f"{model} failed{f' in {step}' if step else ''} over {rows} rows: {said}")
        self.model, self.rows, self.cause, self.step = model, rows, cause, step


class CallerGone(ServiceError):
    """The caller closed the connection before the answer was there."""

    status = 499

    def __init__(self) -> None:
        super().__init__("The caller closed the connection.")


class LaneClosed(ServiceError):
    """The server is stopping and takes no more rows."""

    status = 503

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} is being stopped; send the request again.")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class ModelDown(ServiceError):
    """A model whose process ended, and for which no other comes up."""

    status = 503

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} cannot answer now: its process ended, and none has come back; that is tried on.")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class QueueFull(ServiceError):
    """More rows than the queue holds, or a wait longer than anybody should have."""

    status = 503

    def __init__(self, model: str, *, queued: int, rows: int, limit: int, retry_after_s: int) -> None:
        super().__init__(
            f"{model} is busy: {queued} rows wait, {rows} more are too many (limit {limit}). "
            f"Try again in {retry_after_s} s."
        )
        self.model, self.queued, self.rows, self.limit = model, queued, rows, limit
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class WaitTooLong(ServiceError):
    """A request that would not be answered within the latency goal, or within the longest wait of a large one."""

    status = 503

    def __init__(self, model: str, *, wait_s: float, limit_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(wait_s - limit_s))
        super().__init__(
            f"{model} is busy: these rows would be answered in {wait_s:.2f} s, the lane lets in what takes "
            f"{limit_s:.2f} s. Try again in {self.retry_after_s} s."
        )
        self.model, self.wait_s, self.limit_s = model, wait_s, limit_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class DeadlineUnmeetable(ServiceError):
    """A caller's deadline that cannot be met; nothing was computed."""

    status = 503

    def __init__(self, model: str, *, wait_s: float, timeout_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(wait_s - timeout_s))
        super().__init__(
            f"{model} cannot answer within the {timeout_s:g} s that you wait: it would take about {wait_s:.2g} s. "
            f"Try again in {self.retry_after_s} s, or allow more."
        )
        self.model, self.wait_s, self.timeout_s = model, wait_s, timeout_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class DeadlinePassed(ServiceError):
    """A caller's deadline passed before he had all his answers; what was not begun is never computed."""

    status = 504

    def __init__(self, model: str, *, timeout_s: float) -> None:
        super().__init__(f"{model} has not answered within the {timeout_s:g} s that you wait.")
        self.model, self.timeout_s = model, timeout_s


class LaneHangs(ServiceError):
    """Nobody named a deadline, and the model has not answered for far longer than foreseen."""

    status = 504

    def __init__(self, model: str, *, waited_s: float) -> None:
        super().__init__(
            f"{model} has not answered for {waited_s:.0f} s, far longer than foreseen: its worker may hang, or "
            "interactive requests leave no time for background ones. GET /lanes says which."
        )
        self.model, self.waited_s = model, waited_s
