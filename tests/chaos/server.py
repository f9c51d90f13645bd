"""The tests' S3 server for what is run by hand, outside pytest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.moto import serving_moto
from tests.servers.serve import AWS_SETTINGS, server_name
from tests.servers.weed import Weed


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server's url, and an environment in which boto3 finds it and nothing of the user's.

    moto, with pages of 1,000 keys, or SeaweedFS where TANDEM_TEST_S3 is `weed`.
    """
    for name, value in {**AWS_SETTINGS, "AWS_MAX_ATTEMPTS": None, "TANDEM_MEASURED": str(folder / "measured")}.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if server_name() == "weed":
        with Weed(folder) as weed:
            os.environ["AWS_ENDPOINT_URL"] = weed.url
            yield weed.url
    else:
        with serving_moto(folder) as url:
            os.environ["AWS_ENDPOINT_URL"] = url
            yield url
