"""Fit: what a job asks for that cannot work where nothing of this machine is, said before anything is begun there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Literal, get_args
from urllib.parse import urlsplit

from batch.errors import UsageError
from batch.spec import JobSpec

Target = Literal["aws-batch", "lambda", "kubernetes"]
TARGETS: tuple[str, ...] = get_args(Target)

#: How many machines a job may take: AWS Batch's own bound on an array; of the others one that nobody misses.
MOST_MACHINES = {"aws-batch": 10_000, "lambda": 1, "kubernetes": 10_000}


class DoesNotFit(UsageError):
    """A job asks for what is not there where it shall run."""

    def __init__(self, target: str, setting: str, found: object, reason: str) -> None:
        super().__init__(f"--to {target}: {setting} {found!r} cannot work there: {reason}.")
        self.target, self.setting, self.found, self.reason = target, setting, found, reason


def check_fit(job: JobSpec, target: str, *, machines: int) -> None:
    """See that a job needs nothing of this machine.

    Raises:
        DoesNotFit: it names a folder, a model of this machine, a profile, a port, a runtime that the image lacks, an
            endpoint that only this machine has, or more machines than there can be.
    """
    for setting, found, reason in [*faults_of_places(job), *faults_of_settings(job)]:
        raise DoesNotFit(target, setting, found, reason)
    if not 1 <= machines <= MOST_MACHINES[target]:
        least = "the state machine chooses how many" if target == "lambda" else f"1 to {MOST_MACHINES[target]:,} can"
        raise DoesNotFit(target, "--machines", machines, least)


def faults_of_places(job: JobSpec) -> Iterator[tuple[str, object, str]]:
    """What lies on this machine only, as (setting, what was found, why not)."""
    for setting in ("input", "output"):
        place = getattr(job, setting)
        if not place.startswith("s3://"):
            yield setting, place, "a folder of this machine is not there; put it under s3://"
    if not job.model.startswith("s3://"):
        is_class = ":" in job.model and "/" not in job.model and "." in job.model.partition(":")[0]
        kind = "a class of yours is not in the image" if is_class else "the model store of this machine is not there"
        yield "model", job.model, f"{kind}; `tandem model push NAME s3://bucket/models/NAME`, and name that"
    for place in job.allow_uri:
        if not place.startswith("s3://"):
            yield "allow_uri", place, "a folder of this machine is not there; name an s3:// prefix"


def faults_of_settings(job: JobSpec) -> Iterator[tuple[str, object, str]]:
    """What no machine there has."""
    if job.aws_profile is not None:
        yield (
            "aws_profile",
            job.aws_profile,
            "it is a profile of this machine, and the job has a role of its own; to submit with it, set AWS_PROFILE",
        )
    if job.metrics_port is not None:
        yield "metrics_port", job.metrics_port, "nobody can reach a port of it; `tandem status` shows how far it is"
    if job.runtime in ("torch", "openvino"):
        yield "runtime", job.runtime, "the batch image holds ONNX Runtime alone; take runtime: auto or onnx"
    if job.endpoint_url is not None and is_own(host := urlsplit(job.endpoint_url).hostname or ""):
        yield "endpoint_url", job.endpoint_url, f"{host} is another machine there"
    engine: str = job.engine
    if engine not in ("local", "array"):
        yield "engine", engine, "the machines there are an array; leave engine out"
    if job.array_index is not None:
        yield "array_index", job.array_index, "each machine is told its own; leave it out"


def is_own(host: str) -> bool:
    """Whether a name or address means the machine that says it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
