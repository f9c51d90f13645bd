"""Caller: whose jobs they are, and what he may have read and written."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from service.door.access import key_of, may_see
from service.jobs.places import ANYWHERE
from service.jobs.record import JobRecord
from service.serving import serving_of


def owner_of(request: Request) -> str:
    """The name of the caller's key; empty where there are no keys."""
    return key_of(request).name


def is_admin(request: Request) -> bool:
    """Whether others' jobs may be shown to the caller: those of models that he administers, or all without keys."""
    return key_of(request).may("admin")


def sees_job(request: Request, record: JobRecord) -> bool:
    """Whether a job is the caller's business: his own, or of a model that he administers; his key still reaches it."""
    is_his = record.owner == owner_of(request) or may_see(request, "admin", record.model)
    return is_his and may_see(request, "jobs", record.model)


def allowed_places(request: Request) -> Sequence[str]:
    """Where jobs may read and write: what the operator says; by default everywhere on somebody's own machine.

    That is a server without keys, which listens on loopback alone: who reaches it is its user. Elsewhere jobs read and
    write with the server's credentials for people who do not have them.
    """
    settings = serving_of(request).settings
    is_own = settings.door.keys is None and not settings.door.allow_anonymous
    return settings.jobs.allow or (ANYWHERE if is_own else ())
