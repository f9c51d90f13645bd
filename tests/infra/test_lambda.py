"""The function's handler under AWS's own runtime interface emulator: a job of several calls, and one that is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch.array_job import MODEL, NOTES, ROW_S, ROWS, asked, assert_once, put_shards
from tests.batch.places import Bucket
from tests.infra.conftest import ROOT
from tests.service.server import free_port

#: `make install` takes it from the package of AWS's SAM.
EMULATOR = Path(sys.executable).with_name("aws-lambda-rie")
#: Seconds that a call has: of these no shard is begun in the last sixty.
TIMEOUT_S = 66
SHARDS = 12
RUNTIME = (sys.executable, "-m", "awslambdaric", "batch.serverless.handler")

pytestmark = pytest.mark.skipif(not EMULATOR.exists(), reason="no emulator of AWS Lambda: make install")
Invoke = Callable[[Any], Any]


@pytest.fixture
def s3_place(bucket: str, s3_client: Any) -> Bucket:
    return Bucket(bucket, s3_client)


@pytest.fixture
def invoke(s3: str, tmp_path: Path) -> Iterator[Invoke]:
    """Calls the function; it is started once, as AWS does."""
    port, inner = free_port(), free_port()
    settings = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_S),
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        NOTES: str(tmp_path / "notes"),
        ROW_S: "0.025",
    }
    addresses = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address")
    with (tmp_path / "log").open("w") as log:
        emulator = subprocess.Popen(
            [EMULATOR, *addresses, f"127.0.0.1:{inner}", *RUNTIME],
            env=os.environ | settings,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def call(event: Any) -> Any:
            url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
            request = urllib.request.Request(url, data=json.dumps(event).encode())
            with urllib.request.urlopen(request, timeout=TIMEOUT_S + 10) as answer:
                return json.loads(answer.read())

        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                    time.sleep(0.05)
            yield call
        finally:
            emulator.terminate()
            emulator.wait(30)


def test_a_job_longer_than_a_call_is_done_over_several(invoke: Invoke, s3_place: Bucket, tmp_path: Path) -> None:
    put_shards(s3_place, SHARDS)
    places = {"input": f"{s3_place.url}in/", "output": f"{s3_place.url}out/"}
    event = {"action": "run", "job": {"model": MODEL, "shard_mb": 0.000001, **places}}
    codes: list[int] = []
    while not codes or (codes[-1] == 75 and len(codes) < 10):
        codes.append(invoke(event)["exit_code"])
    assert codes[0] == 75, "six seconds of work were done in one call of six seconds, its start included"
    assert codes[-1] == 0
    assert_once(s3_place, SHARDS)
    assert asked(tmp_path / "notes").total() == SHARDS * ROWS
    wrong = invoke({"action": "weigh", "job": {"model": MODEL, "input": "s3://nobody-has-this/", "output": "s3://o/"}})
    assert wrong["exit_code"] == 2
