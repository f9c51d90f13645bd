"""infra/aws/template.yaml makes what infra/README.md says it makes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from batch.cli.run import run
from tests.infra.conftest import PIPELINE, REGION, TEMPLATE, Stack, actions, as_list

# ecr:GetAuthorizationToken is the one action that AWS offers for no narrower resource.
WITHOUT_A_RESOURCE = {"ecr:GetAuthorizationToken"}


@pytest.mark.parametrize("template", [TEMPLATE, PIPELINE], ids=["template", "pipeline"])
def test_cfn_lint_has_nothing_to_say(template: Path) -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--regions", REGION, "us-east-1", "--", str(template)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout + linted.stderr


def test_the_stack_is_created_and_says_where_things_are(stack: Stack, template: dict[str, Any]) -> None:
    assert stack.status == "CREATE_COMPLETE"
    assert set(stack.outputs) == set(template["Outputs"])
    assert all(stack.outputs.values())


def test_the_bucket_is_encrypted_without_a_key_of_ones_own(stack: Stack) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    encryption = s3.get_bucket_encryption(Bucket=stack.outputs["BucketName"])["ServerSideEncryptionConfiguration"]
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert not [action for action in actions(stack.policy("JobRole")) if action.startswith("kms:")]


def test_the_queue_takes_jobs_onto_fargate_and_nothing_stands_idle(stack: Stack) -> None:
    batch = boto3.client("batch", region_name=REGION)
    (queue,) = batch.describe_job_queues()["jobQueues"]
    (environment,) = batch.describe_compute_environments()["computeEnvironments"]
    assert queue["jobQueueArn"] == stack.outputs["JobQueueArn"]
    assert (queue["state"], queue["status"]) == ("ENABLED", "VALID")
    assert [order["computeEnvironment"] for order in queue["computeEnvironmentOrder"]] == [
        environment["computeEnvironmentArn"]
    ]
    assert environment["state"] == "ENABLED"
    resources = environment["computeResources"]
    assert (resources["type"], resources["maxvCpus"], resources.get("minvCpus", 0)) == ("FARGATE", 16, 0)
    assert resources["securityGroupIds"] == [stack.resources["SecurityGroup"]]


def test_the_job_runs_this_image_with_these_roles(stack: Stack) -> None:
    batch = boto3.client("batch", region_name=REGION)
    (definition,) = batch.describe_job_definitions()["jobDefinitions"]
    container = definition["containerProperties"]
    bucket = stack.outputs["BucketName"]
    assert definition["jobDefinitionArn"] == stack.outputs["JobDefinitionArn"]
    assert container["image"] == f"{stack.outputs['RepositoryUri']}:0.1.0"
    assert container["command"] == ["run", "--model", "Ref::model", "--input", "Ref::input", "--output", "Ref::output"]
    assert definition["parameters"] == {
        "model": f"s3://{bucket}/models/default",
        "input": f"s3://{bucket}/input/",
        "output": f"s3://{bucket}/output/",
    }
    assert container["jobRoleArn"].endswith(f":role/{stack.resources['JobRole']}")
    assert container["executionRoleArn"].endswith(f":role/{stack.resources['ExecutionRole']}")
    assert container["logConfiguration"]["options"]["awslogs-group"] == stack.outputs["LogGroupName"]
    # A job that replaces dead workers needs somebody to reap them and to hand SIGTERM on.
    assert container["linuxParameters"]["initProcessEnabled"] is True


def test_only_what_another_try_can_cure_is_tried_again(stack: Stack) -> None:
    batch = boto3.client("batch", region_name=REGION)
    (definition,) = batch.describe_job_definitions()["jobDefinitions"]
    retry = definition["retryStrategy"]
    rules = [{**rule, "action": rule["action"].upper()} for rule in retry["evaluateOnExit"]]
    assert retry["attempts"] == 5
    assert rules == [
        {"onExitCode": "75", "action": "RETRY"},
        {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ]


def test_a_submitted_job_is_taken(stack: Stack) -> None:
    batch = boto3.client("batch", region_name=REGION)
    job_id = batch.submit_job(
        jobName="news",
        jobQueue=stack.outputs["JobQueueArn"],
        jobDefinition=stack.outputs["JobDefinitionArn"],
        parameters={"model": f"s3://{stack.outputs['BucketName']}/models/news"},
    )["jobId"]
    (job,) = batch.describe_jobs(jobs=[job_id])["jobs"]
    assert job["status"] != "FAILED"
    assert job["jobQueue"] == stack.outputs["JobQueueArn"]


@pytest.mark.parametrize("role", ["JobRole", "ExecutionRole"])
def test_no_role_is_given_more_than_it_names(stack: Stack, role: str) -> None:
    statements = stack.policy(role)
    assert not [action for action in actions(statements) if "*" in action]
    everywhere = [statement for statement in statements if "*" in as_list(statement["Resource"])]
    assert actions(everywhere) <= WITHOUT_A_RESOURCE
    assert all(statement["Effect"] == "Allow" for statement in statements)


def test_log_lines_are_not_kept_for_ever(stack: Stack) -> None:
    logs = boto3.client("logs", region_name=REGION)
    (group,) = logs.describe_log_groups(logGroupNamePrefix=stack.outputs["LogGroupName"])["logGroups"]
    assert group["retentionInDays"] == 30


def test_the_jobs_command_is_one_that_tandem_takes(template: dict[str, Any]) -> None:
    command = template["Resources"]["JobDefinition"]["Properties"]["ContainerProperties"]["Command"]
    options = {option for parameter in run.params for option in parameter.opts}
    assert command[0] == run.name
    assert {word for word in command if word.startswith("-")} <= options
