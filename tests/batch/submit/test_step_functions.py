"""`tandem submit --to lambda`: an execution of the pipeline's state machine, on moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.stepfunctions.models import stepfunctions_backends

from batch.spec import make_job
from tests.batch.command import Command, assert_refused
from tests.batch.submit.conftest import FITS
from tests.infra.conftest import REGION, Stack

DEFINITION = {"StartAt": "Plan", "States": {"Plan": {"Type": "Pass", "End": True}}}


@pytest.fixture
def machine(stack: Stack) -> Iterator[str]:
    """A state machine whose executions stay at work until a test ends them."""
    client = boto3.client("stepfunctions", region_name=REGION)
    made = client.create_state_machine(
        name="tandem", definition=json.dumps(DEFINITION), roleArn="arn:aws:iam::123456789012:role/tandem"
    )["stateMachineArn"]
    yield made
    for name in list(stepfunctions_backends):
        stepfunctions_backends[name][REGION].reset()


def execution(said: str) -> str:
    target, _, arn = said.splitlines()[-1].partition(":")
    assert target == "lambda"
    return arn


def end(arn: str, status: str, **more: str) -> None:
    """How an execution ended; moto's own way gives no error."""
    backend = stepfunctions_backends[arn.split(":")[4]][REGION]
    found = next(one for machine in backend.state_machines for one in machine.executions if one.execution_arn == arn)
    found.status = status
    for name, value in more.items():
        setattr(found, name, value)


def test_the_execution_is_given_the_job(command: Command, machine: str) -> None:
    submitted = command("submit", "--to", "lambda", *FITS, "--state-machine", machine, "--column", "text=body")
    found: Any = boto3.client("stepfunctions", region_name=REGION).describe_execution(
        executionArn=execution(submitted.out)
    )
    job = json.loads(found["input"])["job"]
    assert make_job(job).column == {"text": "body"}
    assert job["output"] == FITS[5]
    assert "workers" not in job


def test_the_same_job_at_work_is_not_begun_twice_and_once_over_is_begun_anew(command: Command, machine: str) -> None:
    words = ("submit", "--to", "lambda", *FITS, "--state-machine", machine)
    first = execution(command(*words).out)
    again = command(*words)
    assert "at work already" in again.out
    assert execution(again.out) == first
    end(first, "FAILED")
    second = execution(command(*words).out)
    assert second == first + "-2"
    assert execution(command(*words).out) == second


@pytest.mark.parametrize(
    ("status", "cause", "code"),
    [
        ("SUCCEEDED", "", 75),  # nothing lies in the output: it is not done, whatever the machine says
        ("FAILED", '{"exit_code": 3}', 3),
        ("FAILED", '{"Container": {"ExitCode": 77}}', 77),
        ("FAILED", "the task ended", 75),
        ("TIMED_OUT", "", 75),
        ("ABORTED", "", 75),
    ],
)
def test_the_exit_code_is_the_jobs(command: Command, machine: str, status: str, cause: str, code: int) -> None:
    arn = execution(command("submit", "--to", "lambda", *FITS, "--state-machine", machine).out)
    assert command("status", f"lambda:{arn}").code == 0
    end(arn, status, cause=cause)
    found = command("status", f"lambda:{arn}", "--follow")
    assert found.code == code, found.out
    assert f"1 {status}" in found.out


def test_what_is_no_execution_is_refused(command: Command, machine: str) -> None:
    assert_refused(command("status", "lambda:my-job"), 2, "no execution's ARN")
    nobody = machine.replace(":stateMachine:", ":execution:") + ":nobody"
    assert_refused(command("status", f"lambda:{nobody}"), 2, "there is no such execution")
