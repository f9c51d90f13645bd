"""What AWS refuses, or does not answer, is one line and the exit code that says whether trying again helps."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from tests.batch.command import Command, assert_refused
from tests.batch.submit.conftest import FITS
from tests.infra.conftest import REGION, Stack, as_job_role

ARN = "arn:aws:states:eu-central-1:123456789012:execution:tandem:tandem-1"


def answering(code: str, status: int = 400) -> Exception:
    said = {"Error": {"Code": code, "Message": "it says so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "Something")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "--to", "aws-batch", *FITS),
        ("submit", "--to", "aws-batch", *FITS, "--queue", "q", "--definition", "d"),
        ("submit", "--to", "lambda", *FITS),
        ("submit", "--to", "lambda", *FITS, "--state-machine", "arn:aws:states:x:1:stateMachine:m"),
        ("status", "aws-batch:0000"),
        ("status", f"lambda:{ARN}"),
    ],
)
@pytest.mark.parametrize(
    ("fault", "code", "parts"),
    [
        (answering("ExpiredTokenException"), 77, ("ExpiredTokenException", "Renew the credentials")),
        (answering("ExpiredToken", 403), 77, ("ExpiredToken", "Renew the credentials")),
        (answering("UnrecognizedClientException"), 77, ("check AWS_PROFILE",)),
        (answering("AccessDeniedException", 400), 77, ("AccessDeniedException", "Grant ")),
        (answering("AccessDenied", 403), 77, ("AccessDenied", "Grant ")),
        (NoCredentialsError(), 77, ("Unable to locate credentials", "AWS_ACCESS_KEY_ID")),
        (answering("ThrottlingException"), 75, ("ThrottlingException", "run the same command again")),
        (answering("InternalFailure", 500), 75, ("InternalFailure", "run the same command again")),
        (EndpointConnectionError(endpoint_url="https://batch"), 75, ("Could not connect",)),
        (answering("ClientException"), 2, ("ClientException: it says so",)),
    ],
)
def test_whatever_aws_says_is_one_line_and_its_exit_code(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    fault: Exception,
    code: int,
    parts: tuple[str, ...],
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    assert_refused(command(*words), code, *parts)


def test_a_role_that_may_not_submit_is_told_what_it_lacks(command: Command, stack: Stack) -> None:
    """moto's IAM in force, and the role of a job, which may read rows and write predictions."""
    with as_job_role(stack):
        found = command("submit", "--to", "aws-batch", *FITS)
        named = command("submit", "--to", "aws-batch", *FITS, "--queue", "q", "--definition", "d")
        looked = command("status", "aws-batch:0000")
    assert_refused(found, 77, "the stack tandem", "Grant cloudformation:DescribeStacks")
    assert_refused(named, 77, "the queue q", "Grant batch:ListJobs")
    assert_refused(looked, 77, "0000", "Grant batch:DescribeJobs")


def test_a_stack_that_there_is_not_is_named(command: Command, stack: Stack) -> None:
    end = command("submit", "--to", "aws-batch", *FITS, "--stack", "tandm")
    assert_refused(end, 2, "no stack 'tandm'", REGION, "--stack", "--queue")


def test_a_stack_without_a_state_machine_says_what_it_has(command: Command, stack: Stack) -> None:
    end = command("submit", "--to", "lambda", *FITS)
    assert_refused(end, 2, "has no output StateMachineArn", "JobQueueArn", "--state-machine")


def test_a_queue_that_there_is_not_is_named(command: Command, stack: Stack) -> None:
    end = command("submit", "--to", "aws-batch", *FITS, "--queue", "none-such")
    assert_refused(end, 2, "none-such", "does not exist")


def test_without_a_region_nothing_is_asked(
    command: Command, stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert_refused(command("submit", "--to", "aws-batch", *FITS), 2, "no AWS region", "--region")
    assert_refused(command("status", "aws-batch:0000"), 2, "no AWS region", "--region")


def test_a_profile_that_there_is_not_is_named(command: Command, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert_refused(command("submit", "--to", "aws-batch", *FITS), 2, "nobody")


@pytest.mark.parametrize("submitted", ["aws-batch:0000", f"lambda:{ARN}"])
def test_status_asks_aws_with_the_profile_that_it_is_given(command: Command, stack: Stack, submitted: str) -> None:
    assert_refused(command("status", submitted, "--aws-profile", "nobody"), 2, "nobody")
