"""What changes when a parameter of infra/aws/template.yaml does; each test has a stack of its own."""

import boto3
import pytest

from tests.infra.conftest import REGION, as_list, created_stack

KEY_ARN = f"arn:aws:kms:{REGION}:123456789012:key/0c1f4a52-5b3a-4f6e-9a51-1f2f3a4b5c6d"


def test_a_key_encrypts_the_bucket_and_the_job_may_use_that_key_through_s3_only() -> None:
    with created_stack(KmsKeyArn=KEY_ARN) as stack:
        s3 = boto3.client("s3", region_name=REGION)
        encryption = s3.get_bucket_encryption(Bucket=stack.outputs["BucketName"])["ServerSideEncryptionConfiguration"]
        assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": KEY_ARN,
        }
        (statement,) = [s for s in stack.policy("JobRole") if "kms:Decrypt" in as_list(s["Action"])]
    assert statement["Resource"] == KEY_ARN
    assert set(statement["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}


def test_spot_capacity_is_one_parameter() -> None:
    with created_stack(Capacity="FARGATE_SPOT"):
        batch = boto3.client("batch", region_name=REGION)
        (environment,) = batch.describe_compute_environments()["computeEnvironments"]
    assert environment["computeResources"]["type"] == "FARGATE_SPOT"


@pytest.mark.parametrize(("size", "vcpu", "memory"), [("small", "1", "4096"), ("xxlarge", "16", "65536")])
def test_the_size_of_a_job_is_one_parameter(size: str, vcpu: str, memory: str) -> None:
    with created_stack(JobSize=size):
        batch = boto3.client("batch", region_name=REGION)
        (definition,) = batch.describe_job_definitions()["jobDefinitions"]
    requirements = {r["type"]: r["value"] for r in definition["containerProperties"]["resourceRequirements"]}
    assert requirements == {"VCPU": vcpu, "MEMORY": memory}


def test_prefixes_bound_what_a_job_may_touch_and_are_where_it_looks() -> None:
    with created_stack(BucketName="own-name", InputPrefix="rows/", ModelPrefix="m/", OutputPrefix="answers/") as stack:
        batch = boto3.client("batch", region_name=REGION)
        (definition,) = batch.describe_job_definitions()["jobDefinitions"]
        statements = stack.policy("JobRole")
    assert definition["parameters"] == {
        "model": "s3://own-name/m/default",
        "input": "s3://own-name/rows/",
        "output": "s3://own-name/answers/",
    }
    objects = {resource for statement in statements for resource in as_list(statement["Resource"]) if "/" in resource}
    prefixes = {resource.removeprefix("arn:aws:s3:::own-name/").split("/")[0] for resource in objects}
    assert prefixes == {"rows", "m", "answers"}
