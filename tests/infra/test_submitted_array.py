"""`tandem submit` end to end: moto's AWS Batch runs the real batch image, three machines of an array; one is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest

from tests.batch.command import Ended, ended, started, tandem
from tests.batch.places import Bucket, part_keys, put_table, read_output
from tests.infra.conftest import ROOT, STACK_NAME, TEMPLATE
from tests.infra.podman_as_batch import image_of_this_run, image_on_aws, podman, podman_socket, running
from tests.servers.moto import serving_moto
from tests.servers.serve import AWS_SETTINGS
from tests.servers.weed import ADMIN, Weed

MODEL = ROOT / "models" / "zoo" / "bbc-bert"
#: So many files of so many rows of so many words that a machine's share takes longer than it takes to kill it.
FILES, ROWS, WORDS = 60, 48, 80
MACHINES = 3

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(image_of_this_run() is None, reason="TANDEM_BATCH_IMAGE names no image that was built"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """SeaweedFS as S3, moto as the rest of AWS with the stack of infra/aws in it; what a command must know of both."""

    place: Bucket
    settings: dict[str, str | None]

    def tandem(self, *words: str) -> Ended:
        return tandem(*words, within_s=300, **self.settings)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    base = image_of_this_run()
    assert base is not None
    for name in ("weed", "moto"):
        (tmp_path / name).mkdir()
    with Weed(tmp_path / "weed") as weed, podman_socket(tmp_path) as socket:
        in_container = {
            "AWS_ACCESS_KEY_ID": ADMIN[0],
            "AWS_SECRET_ACCESS_KEY": ADMIN[1],
            "AWS_ENDPOINT_URL_S3": weed.url,
        }
        # With the host's network the containers find SeaweedFS where it is.
        moto = {"DOCKER_HOST": socket, "MOTO_DOCKER_NETWORK_MODE": "host"}
        with serving_moto(tmp_path / "moto", **moto) as url:
            image = make_stack(url)
            s3 = weed.client()
            s3.create_bucket(Bucket="cloud")
            place = Bucket("cloud", s3)
            for path in (path for path in MODEL.rglob("*") if path.is_file()):
                place.put(f"models/bbc/{path.relative_to(MODEL).as_posix()}", path.read_bytes())
            for number in range(FILES):
                put_table(place, f"input/{number:03}.parquet", articles(first=ROWS * number))
            settings = AWS_SETTINGS | {"AWS_ENDPOINT_URL_S3": weed.url, "AWS_ENDPOINT_URL": url}
            with image_on_aws(base, image, tmp_path, in_container):
                yield Cloud(place=place, settings=settings)


def articles(*, first: int) -> pa.Table:
    """Rows `id, text`; equal texts would go through the model once."""
    ids = range(first, first + ROWS)
    return pa.table(
        {"id": list(ids), "text": [" ".join(str(row * WORDS + word) for word in range(WORDS)) for row in ids]}
    )


def make_stack(url: str) -> str:
    """Create the stack; the name of the image that its jobs run."""

    def client(service: str) -> Any:
        session = boto3.Session(*ADMIN, region_name="us-east-1")
        return session.client(service, endpoint_url=url)  # type: ignore[call-overload]

    subnet = client("ec2").describe_subnets()["Subnets"][0]
    role = client("iam").create_service_linked_role(AWSServiceName="batch.amazonaws.com")["Role"]["Arn"]
    given = {"VpcId": subnet["VpcId"], "SubnetIds": subnet["SubnetId"], "BatchServiceRoleArn": role}
    client("cloudformation").create_stack(
        StackName=STACK_NAME,
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    (definition,) = client("batch").describe_job_definitions()["jobDefinitions"]
    image: str = definition["containerProperties"]["image"]
    return image


def wait_for_parts(cloud: Cloud, number: int, job_id: str) -> None:
    deadline = time.monotonic() + 120
    while len(part_keys(cloud.place, "output/news/")) < number:
        status = cloud.tandem("status", f"aws-batch:{job_id}")
        assert status.code == 0, status.out
        assert time.monotonic() < deadline, status.out
        time.sleep(0.2)


def test_an_array_of_three_of_which_one_is_killed_does_every_row_once(cloud: Cloud) -> None:
    job = ("--model", "s3://cloud/models/bbc", "--input", "s3://cloud/input/", "--output", "s3://cloud/output/news/")
    words = ("submit", "--to", "aws-batch", *job, "--shard-mb", "0.0001", "--machines", str(MACHINES), "--threads", "1")
    submitted = cloud.tandem(*words)
    assert submitted.code == 0, submitted.err
    target, _, job_id = submitted.out.splitlines()[-1].partition(":")
    assert target == "aws-batch"
    with started("status", f"aws-batch:{job_id}", "--follow", "--every", "0.5", **cloud.settings) as following:
        wait_for_parts(cloud, 3, job_id)
        machines = running(job_id)
        assert len(machines) == MACHINES
        podman("kill", "--signal", "KILL", machines[-1])
        assert len(part_keys(cloud.place, "output/news/")) < FILES, "the job was over before anything was killed"
        again = cloud.tandem(*words)
        followed = ended(following, within_s=300)
    assert again.out.splitlines()[-1] == f"aws-batch:{job_id}", "it was begun twice"
    assert followed.code == 0, followed.out + followed.err
    assert "2 SUCCEEDED, 1 FAILED" in followed.out
    assert f"machine {MACHINES - 1}: exit code 137" in followed.out
    assert "what 1 machine left undone, the others did" in followed.out
    out = read_output(cloud.place, "output/news/")
    assert out.column("id").to_pylist() == list(range(FILES * ROWS))
    assert out.column("error").null_count == FILES * ROWS
    assert len(part_keys(cloud.place, "output/news/")) == FILES
    said = json.loads(cloud.tandem("status", f"aws-batch:{job_id}", "--json").out)
    assert (said["status"]["finished"], said["exit_code"]) == (True, 0)
