"""podman, and the images of this run: what `make test-images` built and names in the environment."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

BATCH, SERVICE = os.environ.get("TANDEM_BATCH_IMAGE", ""), os.environ.get("TANDEM_SERVICE_IMAGE", "")
LAMBDA = os.environ.get("TANDEM_LAMBDA_IMAGE", "")
BASE = "localhost/python:3.11-slim"
#: What a test of images is marked with.
IMAGES = [
    pytest.mark.image,
    pytest.mark.skipif(
        not (BATCH and SERVICE and LAMBDA), reason="no image is named: `make test-images` builds and names them"
    ),
]
#: A user that the image does not know, nothing that may be written but /tmp, no right beyond a user's.
CONFINED = ("--user", "65534:65534", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:mode=1777")
CONFINED = (*CONFINED, "--cap-drop", "all", "--security-opt", "no-new-privileges")


def podman(*words: str, within_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], capture_output=True, text=True, timeout=within_s, check=False)


def inside(image: str, *words: str) -> str:
    """What a command says that runs in the image in place of its own, as root so that it sees everything."""
    alone = ("--rm", "--pull", "never", "--network", "none", "--user", "0", "--entrypoint", words[0])
    ran = podman("run", *alone, image, *words[1:])
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def inspect(what: str, kind: str = "image") -> dict[str, Any]:
    shown = podman("inspect", "--type", kind, what)
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)[0]
    return found


@contextmanager
def container(image: str, *words: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """The name of a container that runs, confined, on the host's network; removed with the block."""
    name = f"tandem-test-{uuid4().hex[:12]}"
    begun = podman("run", "-d", "--name", name, "--network", "host", *CONFINED, *options, image, *words)
    try:
        assert begun.returncode == 0, begun.stderr
        yield name
    finally:
        podman("rm", "-f", "-t", "0", name)


def wait_for_end(name: str, *, within_s: float = 90.0) -> int:
    return int(podman("wait", name, within_s=within_s).stdout)
