"""Jobs: what was submitted, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.client.fields import read_fields, read_list

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job is; `left_s` and `rows_per_s` are None until they can be told."""

    shards: int
    shards_done: int
    rows: int
    error_rows: int
    rows_done: int = 0
    rows_per_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as it was when the server was asked.

    Attributes:
        spec: what was asked for, with the model's version and the places in full.
        submitted, begun, ended: ISO 8601; None before it.
        exit_code: as `tandem run` has it.
        message: why it is where it is.
        progress: None until it is planned.
    """

    id: str
    status: Status
    spec: Mapping[str, Any]
    submitted: str
    begun: str | None = None
    ended: str | None = None
    exit_code: int | None = None
    message: str | None = None
    progress: JobProgress | None = None
    has_report: bool = False

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


def read_job(said: Any) -> Job:
    progress = said.get("progress") if isinstance(said, Mapping) else None
    return read_fields(Job, said, progress=None if progress is None else read_fields(JobProgress, progress))


def read_jobs(said: Any) -> list[Job]:
    return [read_job(job) for job in read_list(said, "jobs")]
