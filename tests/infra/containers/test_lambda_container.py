"""The function's image, confined as AWS Lambda confines it, answers its calls in AWS's runtime interface emulator."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.infra.containers.podman import IMAGES, LAMBDA, container, podman
from tests.service.server import free_port

pytestmark = IMAGES

#: In the container, where it is mounted.
EMULATOR = "/emulator"


def ask(port: int, event: Any) -> Any:
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, data=json.dumps(event).encode()), timeout=60) as answer:
        return json.loads(answer.read())


def test_the_image_answers_a_call_with_the_exit_code_of_its_job() -> None:
    port, inner = free_port(), free_port()
    here = Path(sys.executable).with_name("aws-lambda-rie")
    words = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{inner}")
    started = ("python", "-m", "awslambdaric", "batch.serverless.handler")
    options = ("-v", f"{here}:{EMULATOR}:ro", "--entrypoint", EMULATOR)
    event = {"action": "run", "job": {"model": "none", "input": "/nowhere", "output": "/tmp/out"}}
    with container(LAMBDA, *words, *started, options=options) as name:
        deadline = time.monotonic() + 30
        while True:
            try:
                wrong = ask(port, event)
                break
            except OSError:
                assert time.monotonic() < deadline, podman("logs", name).stderr
                time.sleep(0.2)
    assert wrong["exit_code"] in (2, 3)
    assert "none" in wrong["said"] or "nowhere" in wrong["said"]
