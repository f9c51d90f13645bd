"""What moto's CloudFormation leaves out is asserted from the template itself."""

import re
from typing import Any

import pytest


def properties(template: dict[str, Any], resource: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][resource]["Properties"]
    return found


def test_nobody_can_make_the_bucket_public(template: dict[str, Any]) -> None:
    bucket = properties(template, "Bucket")
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_the_bucket_tells_of_its_objects(template: dict[str, Any]) -> None:
    told = properties(template, "Bucket")["NotificationConfiguration"]
    assert told == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_the_bucket_refuses_unencrypted_transport(template: dict[str, Any]) -> None:
    policy = properties(template, "BucketPolicy")
    assert policy["Bucket"] == {"Ref": "Bucket"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Sub": "${Bucket.Arn}/*"}]


def test_abandoned_uploads_are_swept_and_old_versions_end(template: dict[str, Any]) -> None:
    rules = {rule["Id"]: rule for rule in properties(template, "Bucket")["LifecycleConfiguration"]["Rules"]}
    assert all(rule["Status"] == "Enabled" for rule in rules.values())
    assert rules["abandoned-multipart-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert rules["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert properties(template, "Bucket")["VersioningConfiguration"] == {"Status": {"Ref": "Versioning"}}


def test_data_outlive_the_stack(template: dict[str, Any]) -> None:
    bucket = template["Resources"]["Bucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_images_are_scanned_and_never_replaced_under_their_tag(template: dict[str, Any]) -> None:
    repository = properties(template, "Repository")
    assert repository["ImageTagMutability"] == "IMMUTABLE"
    assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}


def test_nothing_comes_in_and_only_https_goes_out(template: dict[str, Any]) -> None:
    group = properties(template, "SecurityGroup")
    assert "SecurityGroupIngress" not in group
    (egress,) = group["SecurityGroupEgress"]
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)


@pytest.mark.parametrize("role", ["JobRole", "ExecutionRole"])
def test_only_tasks_of_this_account_take_a_role(template: dict[str, Any], role: str) -> None:
    (statement,) = properties(template, role)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_every_job_size_is_a_pair_that_fargate_takes(template: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/batch/latest/APIReference/API_ResourceRequirement.html: least, most and step in MiB.
    taken = {1: (2048, 8192, 1024), 2: (4096, 16384, 1024), 4: (8192, 30720, 1024), 8: (16384, 61440, 4096)}
    taken[16] = (32768, 122880, 8192)
    sizes = template["Mappings"]["JobSizes"]
    assert list(sizes) == template["Parameters"]["JobSize"]["AllowedValues"]
    for size in sizes.values():
        least, most, step = taken[int(size["vcpu"])]
        assert int(size["memory"]) in range(least, most + 1, step)
        assert int(size["vcpu"]) <= template["Parameters"]["MaxVcpus"]["Default"]


def test_every_parameter_is_described_and_used(template: dict[str, Any]) -> None:
    text = str({key: template[key] for key in ("Resources", "Conditions")})
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert f"'{name}'" in text or f"${{{name}}}" in text, name


@pytest.mark.parametrize("prefix", ["InputPrefix", "ModelPrefix", "OutputPrefix"])
@pytest.mark.parametrize("widening", ["*/", "in*/", "in?/", "${aws:username}/", "", "/", "input"])
def test_a_prefix_cannot_widen_a_policy(template: dict[str, Any], prefix: str, widening: str) -> None:
    assert not re.fullmatch(template["Parameters"][prefix]["AllowedPattern"], widening)
    assert re.fullmatch(template["Parameters"][prefix]["AllowedPattern"], "team-a/2026.in_put/")
