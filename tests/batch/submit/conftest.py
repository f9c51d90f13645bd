"""A stack of infra/aws/template.yaml on moto, in which jobs can be submitted, and a job that fits there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.batch.models import BatchBackend, batch_backends

from tests.infra.conftest import REGION, Stack, created_stack

#: Flags of a job that needs nothing of this machine.
FITS = ("--model", "s3://b/models/m", "--input", "s3://b/input/rows/", "--output", "s3://b/output/my-rows/")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with created_stack() as stack, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        environment.delenv("AWS_REGION", raising=False)
        environment.delenv("AWS_PROFILE", raising=False)
        yield stack


@pytest.fixture
def moto_batch(stack: Stack) -> BatchBackend:
    """moto's own book of jobs: there each is done at once, and a test says how it stands instead."""
    account = stack.outputs["JobQueueArn"].split(":")[4]
    backend: BatchBackend = batch_backends[account][REGION]
    return backend


def set_state(backend: BatchBackend, job_id: str, state: str, *, exit_code: int | None = None, why: str = "") -> None:
    """How a job or one machine of an array stands."""
    job = backend._jobs[job_id]
    job.status = state
    job.job_stopped = state in ("SUCCEEDED", "FAILED")
    job.exit_code, job.job_stopped_reason = exit_code, why or None
