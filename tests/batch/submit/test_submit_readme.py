"""README's block of `tandem submit` runs as it stands: real commands, and a server that is AWS to them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.batch.command import ROOT, environment, tandem
from tests.batch.places import WORD_COUNT, Bucket, put_table, texts
from tests.infra.conftest import STACK_NAME, TEMPLATE
from tests.servers.moto import serving_moto

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def cloud(aws: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """moto's server with the stack of infra/aws, whose Batch says at once that a job has succeeded."""
    with serving_moto(tmp_path) as url:
        asked = urllib.request.Request(f"{url}/moto-api/config", json.dumps({"batch": {"use_docker": False}}).encode())
        urllib.request.urlopen(asked).close()

        def client(service: str) -> Any:
            return boto3.Session().client(service, endpoint_url=url)  # type: ignore[call-overload]

        subnet = client("ec2").describe_subnets()["Subnets"][0]
        role = client("iam").create_service_linked_role(AWSServiceName="batch.amazonaws.com")["Role"]["Arn"]
        given = {"VpcId": subnet["VpcId"], "SubnetIds": subnet["SubnetId"], "BatchServiceRoleArn": role}
        client("cloudformation").create_stack(
            StackName=STACK_NAME,
            TemplateBody=TEMPLATE.read_text(),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        s3 = client("s3")
        s3.create_bucket(Bucket="my-bucket")
        put_table(Bucket("my-bucket", s3), "input/news/a.parquet", texts(30))
        yield url


def test_the_block_that_submits_runs_as_it_stands(cloud: str, tmp_path: Path) -> None:
    (block,) = [
        code for code in re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE) if "submit" in code
    ]
    places = re.findall(r"--(?:input|output) \S+", block)
    # moto runs nothing: the machines' work is done here.
    work = tandem("run", "--model", WORD_COUNT, *" ".join(places).split(), AWS_ENDPOINT_URL=cloud)
    assert work.code == 0, work.err
    settings = environment({"AWS_ENDPOINT_URL": cloud, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "machines  3 SUCCEEDED" in ran.stdout
    assert "exit code 0: done" in ran.stdout
    assert "30 rows, 0 error rows" in ran.stdout
