"""Record: one job as it is kept, and as callers see it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from service.jobs.check_spec import job_schema

Status = Literal["queued", "running", "done", "failed", "cancelled"]
#: A job that has ended is never begun again.
ENDED = frozenset({"done", "failed", "cancelled"})


Spec = Annotated[dict[str, Any], WithJsonSchema(job_schema())]


class JobProgress(BaseModel):
    """How far a job has come."""

    shards: int = Field(description="that the job is cut into")
    shards_done: int = Field(description="whose predictions are committed")
    rows: int = Field(description="input rows of all shards")
    rows_done: int = Field(description="of them answered")
    error_rows: int = Field(description="rows answered by an error, in what is committed")
    rows_per_s: float | None = Field(description="over the last half minute; of an ended job over its last run")
    left_s: float | None = Field(description="seconds until it is done, at that rate")


class Job(BaseModel):
    """One job."""

    id: str
    status: Status
    spec: Spec = Field(description="what was asked for, with the model's version and the places in full")
    submitted: str = Field(description="ISO 8601, UTC")
    begun: str | None = Field(description="when it was first run")
    ended: str | None
    exit_code: int | None = Field(description="of its last run: 0 done; 2, 3, 4, 77 as tandem run says; 75 cut short")
    message: str | None = Field(description="why it is where it is, in one line")
    progress: JobProgress | None = Field(description="null until it is planned")
    has_report: bool


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job as the book keeps it; moments are seconds since 1970.

    Attributes:
        id: sorts by the moment of submission, and cannot be guessed.
        owner: whose key submitted it; empty where there are no keys.
        key: the caller's Idempotency-Key; None where there was none.
        asked: digest of what the caller sent.
        spec: what to run, checked.
        model: tag of its model, by which rights are given.
        shards_before: that its output held when it was submitted.
        shards_at_start: that were committed when its last run began.
        tries: runs in a row that were cut short without having committed anything.
        not_before: when the next run may begin.
        cancel_asked: when its end was asked for.
        is_paused: the server asked it to end, for it was ending itself.
        revision: grows with every change.
    """

    id: str
    owner: str
    key: str | None
    asked: str
    spec: dict[str, Any]
    model: str
    status: Status
    submitted: float
    begun: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    message: str | None = None
    progress: dict[str, Any] | None = None
    shards_before: int = 0
    shards_at_start: int = 0
    tries: int = 0
    not_before: float = 0.0
    cancel_asked: float | None = None
    is_paused: bool = False
    revision: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def to_json(self) -> dict[str, Any]:
        """As callers see it; see Job."""
        return {
            "id": self.id,
            "status": self.status,
            "spec": self.spec | {"model": self.model},  # the tag: where its files lie is the operator's to know
            "submitted": iso(self.submitted),
            "begun": iso(self.begun),
            "ended": iso(self.ended),
            "exit_code": self.exit_code,
            "message": self.message,
            "progress": self.progress,
            "has_report": self.progress is not None and self.begun is not None,
        }


def new_id(now: float) -> str:
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S-%f}-{secrets.token_hex(8)}"


def iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
