"""What can go wrong with jobs over HTTP, and its HTTP status.

ServiceError
├── UnknownJobModel     404         neither in the model store nor served, or not for this caller
├── UnknownJob          404         no job of that id, or not this caller's
├── NoReportYet         404         the job has planned nothing
├── JobForbidden        403         a place or a setting that callers of this server may not name
├── JobConflict         409         its key was used for another job; it has ended; the output is another job's
├── JobRefused          422         `tandem plan` says in one line why it cannot run
├── JobsBusy            503         too many jobs wait, or too many watch; Retry-After says when to ask again
├── JobsUnavailable     503         the folder of the jobs cannot be used
└── JobsFull            507         no room is left in it
"""

from __future__ import annotations

from collections.abc import Mapping

from service.errors import ServiceError


class UnknownJobModel(ServiceError):
    """A model that jobs of this caller may not run."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(
            f"model: no {name[:200]!r} here. A job takes a tag of the model store (tandem model list) or a model that "
            "is served (GET /models)."
        )
        self.name = name


class UnknownJob(ServiceError):
    """A job that is not there."""

    status = 404

    def __init__(self, job: str) -> None:
        super().__init__(
            f"job: no {job[:80]!r} here; GET /jobs lists those that are. Ended ones are forgotten in time."
        )
        self.job = job


class NoReportYet(ServiceError):
    """A report of a job that has planned nothing, or of which nothing can be read."""

    status = 404

    def __init__(self, job: str, why: str) -> None:
        super().__init__(f"job {job} has no report: {why}")
        self.job, self.why = job, why


class JobForbidden(ServiceError):
    """Something that whoever asks over HTTP may not name."""

    status = 403


class JobConflict(ServiceError):
    """What is asked goes against what is there already."""

    status = 409


class JobRefused(ServiceError):
    """A job that cannot run as it was asked for."""

    status = 422


class JobsBusy(ServiceError):
    """More than this server holds at once."""

    status = 503

    def __init__(self, what: str, *, retry_after_s: int) -> None:
        super().__init__(f"{what} Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class JobsUnavailable(ServiceError):
    """The folder in which jobs are kept cannot be read or written."""

    status = 503

    def __init__(self, why: str) -> None:
        super().__init__(f"jobs cannot be kept just now: {why}. Whoever runs the server sees to TANDEM_JOBS_DIR.")
        self.why = why

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "30"}


class JobsFull(ServiceError):
    """No room is left where jobs are kept."""

    status = 507

    def __init__(self) -> None:
        super().__init__("jobs: no room is left where they are kept; the job was not taken.")
