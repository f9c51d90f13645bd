"""`tandem submit`, and what `tandem status` says of what was submitted."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from batch.cli.run import job_from, job_options
from batch.errors import UsageError
from batch.submit.fit import TARGETS, check_fit
from batch.submit.ran import Ran, Submitted

#: Beside an output, what `tandem status` takes: the kinds of ids that `tandem submit` prints.
IDS = tuple(f"{target}:" for target in TARGETS)


@click.command()
@click.option("--to", "target", required=True, type=click.Choice(TARGETS), help="Where the job shall run.")
@click.option("--machines", type=int, metavar="N", help="How many share the shards. [the job's array_size, else 1]")
@click.option("--stack", default="tandem", show_default=True, help="CloudFormation stack that says where.")
@click.option("--queue", help="aws-batch: the job queue; by default the stack's.")
@click.option("--definition", help="aws-batch: the job definition; by default the stack's.")
@click.option("--state-machine", help="lambda: the state machine's ARN; by default the stack's.")
@click.option("--image", help="kubernetes: the batch image, as the cluster pulls it.")
@click.option("--namespace", default="tandem", show_default=True, help="kubernetes: where the Job is made.")
@click.option(
    "--service-account", default="tandem-job", show_default=True, help="kubernetes: whose rights the pods have."
)
@click.option("--dry-run", is_flag=True, help="Print as JSON what would be asked for; nothing is submitted.")
@click.option(
    "--follow", is_flag=True, help="Look until it is over, and end with its exit code; Ctrl-C only stops that."
)
@click.option(
    "--every", default=5.0, show_default=True, type=click.FloatRange(0.1), metavar="SECONDS", help="How often to look."
)
@job_options
def submit(
    file: Path | None,
    target: str,
    machines: int | None,
    stack: str,
    queue: str | None,
    definition: str | None,
    state_machine: str | None,
    image: str | None,
    namespace: str,
    service_account: str,
    dry_run: bool,
    follow: bool,
    every: float,
    **flags: Any,
) -> None:
    """Run a job elsewhere: on AWS Batch, by the pipeline on AWS Lambda, or on Kubernetes.

    Input, output and model lie in S3. The job is checked first, then given to the scheduler; the last line is the id
    that `tandem status ID` follows. The same job again, while it is at work, is not begun twice; after its end the same
    command does what is left.

    \b
    tandem submit job.yaml --to aws-batch --machines 20 --follow
    tandem submit job.yaml --to lambda
    tandem submit job.yaml --to kubernetes --machines 20 --image REGISTRY/tandem-batch:0.1.0
    """
    job = job_from(file, flags)
    if machines is None:
        machines = job.array_size or 1
    check_fit(job, target, machines=machines)
    region = job.region
    send: Callable[[], Submitted]
    request: dict[str, Any]
    if target == "aws-batch":
        from batch.submit import aws_batch

        where, what = aws_batch.find_places(stack, queue, definition, region=region)
        request = aws_batch.describe_request(job, machines=machines, queue=where, definition=what)
        send = lambda: aws_batch.submit(request, region=region)  # noqa: E731
    elif target == "lambda":
        from batch.submit import step_functions

        machine = step_functions.find_machine(stack, state_machine, region=region)
        request = step_functions.describe_request(job, machine=machine)
        send = lambda: step_functions.submit(request, region=region)  # noqa: E731
    else:
        from batch.submit import kubernetes

        if image is None:
            raise UsageError("--to kubernetes takes --image, the batch image as the cluster pulls it.")
        request = kubernetes.describe_request(
            job, machines=machines, image=image, namespace=namespace, service_account=service_account
        )
        send = lambda: kubernetes.submit(request)  # noqa: E731
    if dry_run:
        click.echo(json.dumps(request, indent=1))
        return
    done = send()
    say_submitted(done, region=region)
    if follow:
        follow_id(done.id, every_s=every, region=region, endpoint_url=job.endpoint_url)


def say_submitted(done: Submitted, *, region: str | None) -> None:
    """The id, and the next command; an id that was there is one that is at work."""
    told = "the same job is at work already" if done.was_there else "submitted"
    words = [
        "tandem",
        "status",
        done.id,
        *(["--region", region] if region and done.id.startswith("aws-batch:") else []),
    ]
    click.echo(f"{told}: {done.name}")
    click.echo(f"follow it: {shlex.join(words)} --follow")
    click.echo(done.id)


def looker(submitted: str, *, region: str | None, profile: str | None) -> Callable[[], Ran]:
    """What looks at a submitted job, by its id.

    Args:
        region: of AWS Batch; an execution's ARN says its own.
        profile: to ask AWS with.
    """
    target, _, rest = submitted.partition(":")
    if not rest:
        raise UsageError(f"{submitted!r} is no id; expected {target}: and what `tandem submit` printed after it.")
    if target == "aws-batch":
        from batch.submit import aws_batch

        return lambda: aws_batch.look(rest, region=region, profile=profile)
    if target == "lambda":
        from batch.submit import step_functions

        return lambda: step_functions.look(rest, profile=profile)
    from batch.submit import kubernetes

    return lambda: kubernetes.look(rest)


def show_id(submitted: str, *, as_json: bool, **where: str | None) -> None:
    """Say once how far it is; ends with the job's exit code where it is over."""
    from batch.submit.show import Followed, show

    followed = Followed(looker(submitted, region=where.get("region"), profile=where.get("profile")), **where)
    end_with(show(followed, as_json=as_json))


def follow_id(submitted: str, *, every_s: float, as_json: bool = False, **where: str | None) -> None:
    """Look until it is over; ends with the job's exit code."""
    from batch.submit.show import Followed, follow

    followed = Followed(looker(submitted, region=where.get("region"), profile=where.get("profile")), **where)
    end_with(follow(followed, every_s=every_s, as_json=as_json))


def end_with(code: int) -> None:
    if code:
        sys.exit(code)
