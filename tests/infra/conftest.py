"""The stack of infra/aws/template.yaml, created on moto, and the template as data for what moto leaves out."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from cfnlint.decode.cfn_yaml import load  # type: ignore[import-untyped]
from moto import mock_aws
from moto.core.authorization import enable_iam_authentication

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE, PIPELINE = ROOT / "infra" / "aws" / "template.yaml", ROOT / "infra" / "aws" / "pipeline.yaml"
REGION: Final = "eu-central-1"
STACK_NAME = "tandem"


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def actions(statements: Iterable[Mapping[str, Any]]) -> set[str]:
    return {action for statement in statements for action in as_list(statement["Action"])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A created stack: its outputs, and the physical name of each resource by its name in the template."""

    status: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]

    def policy(self, role: str) -> list[dict[str, Any]]:
        """Return the statements of all inline policies of a role, as IAM has them."""
        iam = boto3.client("iam", region_name=REGION)
        name = self.resources[role]
        names = iam.list_role_policies(RoleName=name)["PolicyNames"]
        documents = [iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in names]
        return [statement for document in documents for statement in document["Statement"]]


@contextmanager
def created_stack(**parameters: str) -> Iterator[Stack]:
    """Create the stack in the account's default network, with these parameters beside those that have no default."""
    with (
        pytest.MonkeyPatch.context() as environment,
        mock_aws(config={"batch": {"use_docker": False}}),
        warnings.catch_warnings(),
    ):
        # The other rooms' S3 server knows nothing of this stack, and would let everybody in.
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        # moto's CloudFormation has no bucket policies: the template's text is asserted instead.
        warnings.filterwarnings("ignore", message="Tried to parse AWS::S3::BucketPolicy")
        ec2 = boto3.client("ec2", region_name=REGION)
        subnets = ec2.describe_subnets()["Subnets"]
        # moto wants the role that AWS makes by itself.
        iam = boto3.client("iam", region_name=REGION)
        service_role = iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com")["Role"]["Arn"]
        given = {
            "VpcId": subnets[0]["VpcId"],
            "SubnetIds": ",".join(subnet["SubnetId"] for subnet in subnets),
            "BatchServiceRoleArn": service_role,
            **parameters,
        }
        cloudformation = boto3.client("cloudformation", region_name=REGION)
        cloudformation.create_stack(
            StackName=STACK_NAME,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        described = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        listed = cloudformation.list_stack_resources(StackName=STACK_NAME)["StackResourceSummaries"]
        yield Stack(
            status=described["StackStatus"],
            outputs={output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]},
            resources={
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for resource in listed
                if resource["LogicalResourceId"]
            },
        )


@contextmanager
def as_job_role(stack: Stack) -> Iterator[None]:
    """Be a job: its role's credentials in the environment, and moto's IAM in force."""
    sts = boto3.client("sts", region_name=REGION)
    credentials = sts.assume_role(RoleArn=stack.outputs["JobRoleArn"], RoleSessionName="job")["Credentials"]
    with pytest.MonkeyPatch.context() as environment, enable_iam_authentication():
        environment.setenv("AWS_ACCESS_KEY_ID", credentials["AccessKeyId"])
        environment.setenv("AWS_SECRET_ACCESS_KEY", credentials["SecretAccessKey"])
        environment.setenv("AWS_SESSION_TOKEN", credentials["SessionToken"])
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        environment.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials it was made with
        yield


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with created_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def pipeline() -> dict[str, Any]:
    """The second stack's template, likewise."""
    loaded: dict[str, Any] = load(str(PIPELINE))
    return loaded


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """The template as CloudFormation reads it, short forms such as !Ref written out."""
    loaded: dict[str, Any] = load(str(TEMPLATE))
    return loaded
