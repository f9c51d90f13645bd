"""The server is killed in mid-job: nothing is lost or doubled, whether it is back at once or much later."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from batch.report import Manifest
from tests.batch.command import ended, started, tandem
from tests.batch.places import Bucket, read_json
from tests.batch.test_resume import assert_complete, command, put_input
from tests.batch.weed.conftest import new_bucket
from tests.fault_proxy import Fault, FaultProxy, Rule
from tests.servers.weed import Weed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SEED = int(os.environ.get("TANDEM_TEST_SEED", "4"))
KILLS = int(os.environ.get("TANDEM_TEST_KILLS", "3"))
SHARDS = 6

#: How far the job has come when the server dies, in requests; each with another seed.
MOMENTS = [random.Random(SEED + number).random() for number in range(KILLS)]
FAULTS: tuple[Fault, ...] = ("hold", "hold_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """The same job while nobody dies."""

    requests: int
    manifest: Manifest


@pytest.fixture(scope="module")
def undisturbed(weed: Weed, weed_client: S3Client, aws: pytest.MonkeyPatch) -> Undisturbed:
    place = new_bucket(weed_client)
    put_input(place, SHARDS)
    with FaultProxy(weed.url) as proxy:
        end = tandem(*command(place), AWS_ENDPOINT_URL=proxy.url)
        assert end.code == 0, end.err
        return Undisturbed(requests=len(proxy.seen), manifest=read_json(place, "out/_tandem/manifest.json"))


def assert_nothing_is_lost(place: Bucket, undisturbed: Undisturbed) -> None:
    manifest: Manifest = read_json(place, "out/_tandem/manifest.json")
    assert_complete(place, manifest, SHARDS)
    assert manifest["digest"] == undisturbed.manifest["digest"]
    assert place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", []) == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_rides_out_a_server_that_dies_and_comes_back(
    weed: Weed, weed_place: Bucket, undisturbed: Undisturbed, fault: Fault, moment: float
) -> None:
    put_input(weed_place, SHARDS)
    with FaultProxy(weed.url) as proxy:
        dying = proxy.add(Rule(fault=fault, skip=int(moment * undisturbed.requests)))
        with started(*command(weed_place), AWS_ENDPOINT_URL=proxy.url) as process:
            dying.wait_until_held()
            weed.kill()
            dying.release(forward=False)
            weed.start()
            end = ended(process, within_s=150)
    assert end.code == 0, end.err
    assert_nothing_is_lost(weed_place, undisturbed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_job_ends_with_75_where_the_server_stays_away_and_the_same_command_finishes_it(
    weed: Weed, weed_place: Bucket, undisturbed: Undisturbed, moment: float
) -> None:
    put_input(weed_place, SHARDS)
    with FaultProxy(weed.url) as proxy:
        dying = proxy.add(Rule(fault="hold_answer", skip=int(moment * undisturbed.requests)))
        with started(*command(weed_place), AWS_ENDPOINT_URL=proxy.url, AWS_MAX_ATTEMPTS="2") as process:
            dying.wait_until_held()
            try:
                weed.kill()
                dying.release(forward=False)
                end = ended(process)
            finally:
                weed.start()
    assert end.code == 75, end.err
    assert "run the same command again" in end.complaint
    assert tandem(*command(weed_place)).code == 0
    assert_nothing_is_lost(weed_place, undisturbed)
