"""AWS Lambda: a job given to the pipeline's state machine; small work runs in a function, large work in AWS Batch."""

from __future__ import annotations

import json
from typing import Any

from batch.errors import InputNotFound, UsageError
from batch.spec import JobSpec
from batch.submit.aws import aws_faults, open_client, stack_output
from batch.submit.command import ENGINES_OWN, job_name, settings_of
from batch.submit.ran import Failed, Ran, Submitted

#: What the pipeline's stack calls its state machine.
STATE_MACHINE = "StateMachineArn"
#: A name is taken for ninety days: so often the same job can be submitted in them, one after the other.
MOST_TRIES = 100
#: AWS's own name for how an execution ended -> how it is read.
OVER = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


def describe_request(job: JobSpec, *, machine: str) -> dict[str, Any]:
    """What StartExecution is asked: the job's settings, as a job file holds them, under `job`."""
    settings = {name: value for name, value in settings_of(job).items() if name not in ENGINES_OWN}
    return {
        "stateMachineArn": machine,
        "name": job_name(job),
        "input": json.dumps({"job": settings}, sort_keys=True),
    }


def find_machine(stack: str, machine: str | None, *, region: str | None) -> str:
    """The state machine: as named, else the stack's."""
    return machine or stack_output(stack, STATE_MACHINE, region=region, instead="--state-machine")


def submit(request: dict[str, Any], *, region: str | None) -> Submitted:
    """Start an execution, unless the same job's is at work.

    Of several that submit at once exactly one starts it: a name can be taken once.

    Raises:
        UsageError: the job was submitted too often.
    """
    client = open_client("stepfunctions", region)
    machine, name = request["stateMachineArn"], request["name"]
    for attempt in range(1, MOST_TRIES + 1):
        named = name if attempt == 1 else f"{name}-{attempt}"
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{named}"
        status = find_status(client, arn)
        if status is None:
            try:
                with aws_faults("states:StartExecution", machine):
                    arn = client.start_execution(**request | {"name": named})["executionArn"]
                return Submitted(id=f"lambda:{arn}", name=named)
            except UsageError as error:
                if "ExecutionAlreadyExists" not in str(error):
                    raise
                status = find_status(client, arn)  # another took it between our two questions
        if status not in OVER:
            return Submitted(id=f"lambda:{arn}", name=named, was_there=True)
    raise UsageError(f"{machine} has run {name} {MOST_TRIES} times; wait, or take another output.")


def find_status(client: Any, arn: str) -> str | None:
    """An execution's status; None where there is none of that name."""
    with aws_faults("states:DescribeExecution", arn):
        try:
            return str(client.describe_execution(executionArn=arn)["status"])
        except client.exceptions.ExecutionDoesNotExist:
            return None


def look(arn: str, *, profile: str | None = None) -> Ran:
    """Where an execution stands, and its exit code where it failed.

    Raises:
        InputNotFound: there is no such execution.
        UsageError: it is no ARN of one.
    """
    client = open_client("stepfunctions", region_of(arn), profile)
    with aws_faults("states:DescribeExecution", arn):
        try:
            found = client.describe_execution(executionArn=arn)
        except client.exceptions.ExecutionDoesNotExist:
            advice = "Ninety days after its end it is forgotten, and `tandem status OUTPUT` still tells."
            raise InputNotFound(f"lambda:{arn}", "there is no such execution", advice=advice) from None
    status = found["status"]
    error, cause = found.get("error", ""), found.get("cause", "")
    reason = ": ".join(word for word in (error, cause) if word)
    return Ran(
        id=f"lambda:{arn}",
        name=found["name"],
        output=output_of(found.get("input", "{}")),
        states={status: 1},
        is_over=status in OVER,
        any_done=status == "SUCCEEDED",
        failed=[Failed(machine="0", exit_code=code_in(cause), reason=reason)]
        if status in OVER and status != "SUCCEEDED"
        else [],
    )


def region_of(arn: str) -> str:
    words = arn.split(":")
    if len(words) != 8 or words[2] != "states" or words[5] != "execution":
        raise UsageError(
            f"lambda:{arn} is no execution's ARN; expected lambda:arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME."
        )
    return words[3]


def output_of(text: str) -> str | None:
    """The output that an execution's input names."""
    said = read_object(text).get("job")
    output = said.get("output") if isinstance(said, dict) else None
    return output if isinstance(output, str) else None


def code_in(cause: str) -> int | None:
    """The job's exit code that a failure's cause holds, as the pipeline's states write it."""
    said = read_object(cause)
    code = said.get("exit_code", said.get("ExitCode"))
    container = said.get("Container")
    code = container.get("ExitCode") if code is None and isinstance(container, dict) else code
    return code if isinstance(code, int) else None


def read_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
