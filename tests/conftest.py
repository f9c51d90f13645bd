"""What tests of every room stand on: a real S3 API on a free port, and a proxy in front of it that goes wrong."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest

from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Ends with its stdin, so that it never outlives the tests.
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="session", autouse=True)
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What jobs measure of this host is neither taken from the user's cache nor left there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TANDEM_MEASURED", str(tmp_path_factory.mktemp("measured")))
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint url of moto's server in a process of its own, with AWS_ENDPOINT_URL and credentials set.

    Listings come in pages of 20 keys, so that every test of a longer one pages.
    """
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-c", _MOTO],
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "20"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = server.stdout.readline().strip().decode()
        assert port, log.read_text()
        with pytest.MonkeyPatch.context() as environment:
            for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
                environment.delenv(name, raising=False)
            environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            environment.setenv("AWS_ACCESS_KEY_ID", "tandem")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "tandem-secret")
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            environment.setenv("AWS_CONFIG_FILE", os.devnull)
            environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
            environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
            yield f"http://127.0.0.1:{port}"
    finally:
        server.stdin.close()
        server.wait(timeout=20)
        server.stdout.close()


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
