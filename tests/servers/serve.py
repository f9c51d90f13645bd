"""The S3 server that the tests are run against: moto, or SeaweedFS where TANDEM_TEST_S3 is `weed`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.moto import serving_moto
from tests.servers.weed import ADMIN, Weed

SERVERS = ("moto", "weed")

#: What a process needs beside the endpoint, so that boto3 finds the tests' credentials and nothing of the machine's
#: own; None takes a variable away.
AWS_SETTINGS: dict[str, str | None] = {
    "AWS_ACCESS_KEY_ID": ADMIN[0],
    "AWS_SECRET_ACCESS_KEY": ADMIN[1],
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    **dict.fromkeys(("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")),
}


def server_name() -> str:
    """Which server it is; ValueError where there is none of that name."""
    name = os.environ.get("TANDEM_TEST_S3") or "moto"
    if name not in SERVERS:
        raise ValueError(f"TANDEM_TEST_S3={name} is no server of the tests; expected one of: {', '.join(SERVERS)}")
    return name


@contextmanager
def serving_s3(folder: Path) -> Iterator[str]:
    """The url of the server, on free ports, with everything it writes in the folder; it ends with the block.

    moto's listings come in pages of 20 keys, so that every test of a longer one pages.
    """
    if server_name() == "weed":
        with Weed(folder) as weed:
            yield weed.url
    else:
        with serving_moto(folder, MOTO_S3_DEFAULT_MAX_KEYS="20") as url:
            yield url
