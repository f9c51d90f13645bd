"""Calls: what is asked of the server, and how its answer is read; the same for Client and AsyncClient."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from service.client.answers import Predictions, read_predictions
from service.client.jobs import Job, read_job, read_jobs
from service.client.models import LaneLoad, ModelCard, read_card, read_cards, read_lanes
from service.client.rows import refuse_no_rows, write_row

Priority = Literal["interactive", "background"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """One thing that is asked.

    Attributes:
        read: makes the result of the body's text; a ValueError or TypeError says that it is none.
        repeatable: whether doing it twice does no harm.
        timeout_s: how long the caller waits; None: as long as the client's setting says.
    """

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[str], Result]
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    timeout_s: float | None = None

    def all_headers(self, left_s: float | None) -> dict[str, str]:
        """The headers of one try.

        Args:
            left_s: of the caller's time.
        """
        headers = dict(self.headers)
        if self.content is not None:
            headers["Content-Type"] = "application/json"
        if left_s is not None:
            headers["X-Request-Timeout"] = f"{max(left_s, 0.001):.3f}"
        return headers


def of_json(read: Callable[[Any], Result]) -> Callable[[str], Result]:
    return lambda text: read(json.loads(text))


def predict_call(
    model: str, rows: Iterable[Any], *, timeout_s: float | None, priority: Priority | None
) -> Call[Predictions]:
    """Answer rows."""
    refuse_no_rows(rows)
    return predict_lines(model, [write_row(row) for row in rows], timeout_s=timeout_s, priority=priority)


def predict_lines(
    model: str, lines: Sequence[bytes], *, timeout_s: float | None, priority: Priority | None
) -> Call[Predictions]:
    """Answer rows that are JSON already."""
    if timeout_s is not None and not timeout_s > 0:
        raise ValueError(f"timeout_s={timeout_s}: expected a number above 0")
    return Call(
        method="POST",
        path="/predict",
        read=of_json(lambda said: read_predictions(said, rows=len(lines))),
        content=b'{"model":%b,"rows":[%b]}' % (json.dumps(model).encode(), b",".join(lines)),
        headers={"X-Request-Priority": priority} if priority else {},
        timeout_s=timeout_s,
    )


def models_call() -> Call[list[ModelCard]]:
    return Call(method="GET", path="/models", read=of_json(read_cards))


def model_call(model: str) -> Call[ModelCard]:
    return Call(method="GET", path=f"/models/{segment(model)}", read=of_json(read_card))


def lanes_call() -> Call[list[LaneLoad]]:
    return Call(method="GET", path="/lanes", read=of_json(read_lanes))


def load_call(model: str, *, default: bool) -> Call[ModelCard]:
    """Loading a loaded one changes nothing, so it may be asked for twice."""
    body = {"model": model, "default": default}
    return Call(method="POST", path="/models/load", read=of_json(read_card), content=json.dumps(body).encode())


def unload_call(model: str) -> Call[list[ModelCard]]:
    """A bare name that is said twice may mean another version by then."""
    content = json.dumps({"model": model}).encode()
    return Call(method="POST", path="/models/unload", read=of_json(read_cards), content=content, repeatable=False)


def default_call(model: str) -> Call[ModelCard]:
    content = json.dumps({"model": model}).encode()
    return Call(method="POST", path="/models/default", read=of_json(read_card), content=content)


def submit_call(spec: Mapping[str, Any], *, key: str | None) -> Call[Job]:
    """A job. Without a key of the caller's, a random one tells a repeated request from a second job."""
    return Call(
        method="POST",
        path="/jobs",
        read=of_json(read_job),
        content=json.dumps(dict(spec)).encode(),
        headers={"Idempotency-Key": key or uuid.uuid4().hex},
    )


def jobs_call(*, limit: int | None) -> Call[list[Job]]:
    return Call(method="GET", path="/jobs" if limit is None else f"/jobs?limit={limit:d}", read=of_json(read_jobs))


def job_call(job: Job | str) -> Call[Job]:
    return Call(method="GET", path=job_path(job), read=of_json(read_job))


def cancel_call(job: Job | str) -> Call[Job]:
    """Cancelling one that is cancelled changes nothing."""
    return Call(method="POST", path=f"{job_path(job)}/cancel", read=of_json(read_job))


def report_call(job: Job | str) -> Call[str]:
    return Call(method="GET", path=f"{job_path(job)}/report", read=str)


def job_path(job: Job | str) -> str:
    return f"/jobs/{segment(job.id if isinstance(job, Job) else job)}"


def segment(text: str) -> str:
    """One segment of a path, whatever is in the text.

    Raises:
        ValueError: it would be another path.
    """
    if text in {"", ".", ".."}:
        raise ValueError(f"expected a name, found {text!r}")
    return quote(text, safe=":")
