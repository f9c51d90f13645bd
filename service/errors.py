"""What can go wrong with a request, and its HTTP status.

ServiceError
├── SettingsInvalid     (at start)  an environment variable says something it may not
├── RequestInvalid      400         the body is no JSON, or not of the request's shape
├── UnknownModel        404         no lane of that name
├── TooManyRows         413         more rows in one request than the queue holds
├── ModelFailed         500         the model broke down over a window; none of its callers has an answer
├── CallerGone          499         the caller closed the connection; nobody reads this
├── LaneClosed          503         the server is stopping
└── QueueFull           503         the lane's queue is full; Retry-After says for how long
A row that cannot be answered is no error of the request: it is an entry `{"error": ...}` among the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


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
            f"model: {name!r} is not served here; known: {', '.join(known)}. "
            "A server is told its models by TANDEM_MODELS=name,name."
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
    """The model raised where no row could be singled out."""

    def __init__(self, model: str, *, rows: int, cause: BaseException) -> None:
        super().__init__(f"{model} failed over a window of {rows} rows: {type(cause).__name__}: {str(cause)[:300]}")
        self.model, self.rows, self.cause = model, rows, cause


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
