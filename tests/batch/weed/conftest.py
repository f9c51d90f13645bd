"""A SeaweedFS for tests of what only a real server does; it may be killed, and is started again for who comes next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.batch.places import Bucket
from tests.conftest import skip_without_weed
from tests.servers.weed import Weed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    skip_without_weed()
    with Weed(tmp_path_factory.mktemp("own-weed")) as server:
        yield server


@pytest.fixture(scope="module")
def weed_client(weed: Weed) -> Iterator[S3Client]:
    client = weed.client()
    yield client
    client.close()


@pytest.fixture
def weed_place(weed: Weed, weed_client: S3Client, aws: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of this server, to which AWS_ENDPOINT_URL leads."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", weed.url)
    return new_bucket(weed_client)


def new_bucket(client: S3Client) -> Bucket:
    place = Bucket(f"test-{uuid4().hex}", client)
    client.create_bucket(Bucket=place.bucket)
    return place
