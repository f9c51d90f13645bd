"""infra/aws/pipeline.yaml: created on moto, and its state machine run by moto's interpreter from its own definition.

moto does not run `batch:submitJob.sync`: in its place the state sends what it would submit to a queue.
"""

from __future__ import annotations

import io
import json
import re
import time
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws

from batch.submit.step_functions import STATE_MACHINE, code_in
from tests.infra.conftest import PIPELINE, REGION, actions

ACCOUNT = "123456789012"
GIVEN = {
    "BucketName": "the-bucket",
    "JobQueueArn": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/q",
    "JobDefinitionArn": f"arn:aws:batch:{REGION}:{ACCOUNT}:job-definition/d:1",
    "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/tandem-lambda:0.1.0",
}
JOB = {
    "model": "s3://the-bucket/models/default",
    "input": "s3://the-bucket/input/",
    "output": "s3://the-bucket/output/",
}
SMALL = {"exit_code": 0, "said": "", "small": True, "machines": 2, "words": ["run"]}
LARGE = {"exit_code": 0, "said": "", "small": False, "machines": 7, "words": ["run", "--engine", "array"]}


ALL_OF = '{"Fn::Sub": "arn:${AWS::Partition}:s3:::${BucketName}"}'
#: Where moto is told what its functions answer.
MOTO = "http://motoapi.amazonaws.com/moto-api/static/lambda-simple/response"


def ran(code: int) -> dict[str, Any]:
    return {"exit_code": code, "said": f"ended with {code}"}


def definition(pipeline: dict[str, Any], *, function: str, topic: str, queue: str) -> dict[str, Any]:
    """The machine's own definition, its names filled in; of one state the resource is another."""
    text = pipeline["Resources"]["StateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    names = {"AWS::Partition": "aws", "Function.Arn": function, "Notices": topic, **GIVEN}
    filled: dict[str, Any] = json.loads(re.sub(r"\$\{([^}]+)\}", lambda found: names[found[1]], text))
    many = filled["States"]["Many"]
    assert many["Resource"] == "arn:aws:states:::batch:submitJob.sync"
    many["Resource"] = "arn:aws:states:::sqs:sendMessage"
    many["Parameters"] = {"QueueUrl": queue, "MessageBody": many["Parameters"]}
    return filled


@contextmanager
def standing(pipeline: dict[str, Any], answers: Sequence[Any], **change: Any) -> Iterator[tuple[str, str]]:
    """A machine whose function gives these answers, one after the other; its ARN and the queue of what is submitted."""
    config: Any = {"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}
    with pytest.MonkeyPatch.context() as environment, mock_aws(config=config):
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        role = boto3.client("iam", region_name=REGION).create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("a.py", "")
        function = boto3.client("lambda", region_name=REGION).create_function(
            FunctionName="f", Runtime="python3.11", Role=role["Arn"], Handler="a.b", Code={"ZipFile": code.getvalue()}
        )["FunctionArn"]
        said = {"results": [json.dumps(answer) for answer in answers], "region": REGION}
        posted = requests.post(
            "http://motoapi.amazonaws.com/moto-api/static/lambda-simple/response", json=said, timeout=5
        )
        assert posted.status_code == 201
        topic = boto3.client("sns", region_name=REGION).create_topic(Name="t")["TopicArn"]
        queue = boto3.client("sqs", region_name=REGION).create_queue(QueueName="q")["QueueUrl"]
        content = definition(pipeline, function=function, topic=topic, queue=queue)
        content["States"]["Breathe"]["Seconds"] = 0
        content["States"] |= change
        machine = boto3.client("stepfunctions", region_name=REGION).create_state_machine(
            name="m", definition=json.dumps(content), roleArn=role["Arn"]
        )["stateMachineArn"]
        yield machine, queue


def execute(machine: str, given: Any) -> dict[str, Any]:
    """Run it to its end; what DescribeExecution says, and the states that it entered."""
    client = boto3.client("stepfunctions", region_name=REGION)
    arn = client.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    deadline = time.monotonic() + 30
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    events = client.get_execution_history(executionArn=arn)["events"]
    states = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    return dict(found) | {"states": states}


def test_the_stack_is_created_and_says_what_submit_asks_for(pipeline: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as environment, mock_aws(), warnings.catch_warnings():
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        warnings.filterwarnings("ignore", message="Tried to parse AWS::")  # pipes, alarms, schedules, budgets
        boto3.client("ecr", region_name=REGION).create_repository(repositoryName="tandem-lambda")
        cloudformation = boto3.client("cloudformation", region_name=REGION)
        cloudformation.create_stack(
            StackName="pipeline",
            TemplateBody=PIPELINE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in GIVEN.items()],
        )
        (stack,) = cloudformation.describe_stacks(StackName="pipeline")["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert set(outputs) == set(pipeline["Outputs"])
        assert ":stateMachine:" in outputs[STATE_MACHINE]


def test_small_work_is_run_by_the_function(pipeline: dict[str, Any]) -> None:
    with standing(pipeline, [SMALL, ran(0)]) as (machine, _):
        found = execute(machine, {"job": JOB})
    assert (found["status"], found["states"]) == (
        "SUCCEEDED",
        ["Begin", "Weigh", "Weighed", "First", "Run", "Ended", "Done"],
    )


def test_a_batch_of_events_is_one_job(pipeline: dict[str, Any]) -> None:
    with standing(pipeline, [SMALL, ran(0)]) as (machine, _):
        found = execute(machine, [{"job": JOB}] * 100)
    assert (found["status"], found["states"].count("Run")) == ("SUCCEEDED", 1)


def test_only_exit_code_75_is_tried_again(pipeline: dict[str, Any]) -> None:
    with standing(pipeline, [SMALL, ran(75), ran(75), ran(0)]) as (machine, _):
        found = execute(machine, {"job": JOB})
    assert (found["status"], found["states"].count("Run")) == ("SUCCEEDED", 3)


@pytest.mark.parametrize("code", [2, 3, 4, 77])
def test_another_exit_code_fails_and_is_told(pipeline: dict[str, Any], code: int) -> None:
    with standing(pipeline, [SMALL, ran(code)]) as (machine, _):
        found = execute(machine, {"job": JOB})
    assert (found["status"], found["states"].count("Run"), found["states"][-2:]) == ("FAILED", 1, ["Failed", "Fail"])
    assert code_in(found["cause"]) == code


def test_what_weighing_finds_wrong_is_not_run(pipeline: dict[str, Any]) -> None:
    with standing(pipeline, [ran(3)]) as (machine, _):
        found = execute(machine, {"job": JOB})
    assert (found["status"], "Run" in found["states"], code_in(found["cause"])) == ("FAILED", False, 3)


def test_large_work_is_an_array_of_machines_and_the_function_sees_that_it_is_whole(pipeline: dict[str, Any]) -> None:
    with standing(pipeline, [LARGE, ran(0)]) as (machine, queue):
        found = execute(machine, {"job": JOB})
        (message,) = boto3.client("sqs", region_name=REGION).receive_message(QueueUrl=queue)["Messages"]
    submitted = json.loads(message["Body"])
    assert (found["status"], found["states"][3:6]) == ("SUCCEEDED", ["Many", "First", "Run"])
    assert submitted["ArrayProperties"] == {"Size": 7}
    assert submitted["ContainerOverrides"] == {"Command": LARGE["words"]}
    assert (submitted["JobQueue"], submitted["JobDefinition"]) == (GIVEN["JobQueueArn"], GIVEN["JobDefinitionArn"])


def test_a_lost_machine_fails_nothing_that_the_others_have_done(pipeline: dict[str, Any]) -> None:
    many = definition(pipeline, function="f", topic="t", queue="q")["States"]["Many"]
    many["Parameters"]["QueueUrl"] = "nowhere"  # what is asked for fails, as a job does one of whose machines was lost
    with standing(pipeline, [LARGE, ran(0)], Many=many) as (machine, _):
        found = execute(machine, {"job": JOB})
    assert (found["status"], found["states"][3:6]) == ("SUCCEEDED", ["Many", "First", "Run"])


def test_nobody_may_more_than_its_part(pipeline: dict[str, Any]) -> None:
    allowed: dict[str, set[str]] = {}
    for name, resource in pipeline["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            documents = [policy["PolicyDocument"] for policy in resource["Properties"]["Policies"]]
            allowed[name] = actions(statement for document in documents for statement in document["Statement"])
    takes = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert allowed["PipeRole"] == {*takes, "states:StartExecution"}
    assert allowed["ClockRole"] == {"states:StartExecution"}
    assert {action.split(":")[0] for action in allowed["FunctionRole"]} == {"s3", "logs"}
    assert not [action for each in allowed.values() for action in each if "*" in action]


def test_the_function_may_do_in_the_bucket_what_a_job_may(pipeline: dict[str, Any], template: dict[str, Any]) -> None:
    """What that is, is tried in test_least_privilege.py and test_whole_job.py."""
    job = template["Resources"]["JobPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    function = pipeline["Resources"]["FunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]

    def plain(statements: list[dict[str, Any]]) -> list[str]:
        text = [json.dumps([statement["Action"], statement["Resource"]]) for statement in statements]
        return [one for one in text if "s3:" in one]

    arn = re.compile(r'{"Fn::Sub": "\$\{Bucket.Arn}|{"Fn::GetAtt": \["Bucket", "Arn"]}')
    theirs = [arn.sub(lambda found: ALL_OF if "GetAtt" in found[0] else ALL_OF[:-2], one) for one in plain(job)]
    assert plain(function) == theirs


def test_events_are_gathered_and_those_that_cannot_be_handed_on_are_kept(pipeline: dict[str, Any]) -> None:
    resources = pipeline["Resources"]
    queue, pipe = resources["Events"]["Properties"], resources["Pipe"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadEvents", "Arn"]}
    assert pipe["SourceParameters"]["SqsQueueParameters"]["BatchSize"] == 1000
    said = json.loads(re.sub(r"\$\{[^}]+\}", "x", pipe["TargetParameters"]["InputTemplate"]["Fn::Sub"]))
    assert said["job"].keys() == JOB.keys()
    alarms = {name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms == {"ExecutionsFailed", "ExecutionsSlow", "EventsOld", "EventsDead"}
