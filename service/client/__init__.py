"""A typed client of the endpoint, sync and async: `from service.client import Client`. Needs httpx and nothing else."""

from service.client.answers import Answer, Predictions, RowError
from service.client.async_client import AsyncClient
from service.client.errors import (
    AnswerInvalid,
    Busy,
    ClientError,
    Conflict,
    DeadlinePassed,
    JobStillRuns,
    KeyRefused,
    NotFound,
    Refused,
    RequestRefused,
    RowsInvalid,
    ServerFailed,
    Unreachable,
)
from service.client.jobs import Job, JobProgress
from service.client.models import LaneLoad, Latency, ModelCard
from service.client.patience import Patience
from service.client.sync_client import Client

__all__ = [
    "Answer",
    "AnswerInvalid",
    "AsyncClient",
    "Busy",
    "Client",
    "ClientError",
    "Conflict",
    "DeadlinePassed",
    "Job",
    "JobProgress",
    "JobStillRuns",
    "KeyRefused",
    "LaneLoad",
    "Latency",
    "ModelCard",
    "NotFound",
    "Patience",
    "Predictions",
    "Refused",
    "RequestRefused",
    "RowError",
    "RowsInvalid",
    "ServerFailed",
    "Unreachable",
]
