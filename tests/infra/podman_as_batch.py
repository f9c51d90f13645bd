"""AWS Batch on this machine: moto's, which runs real containers through podman's socket.

What AWS gives a container comes in an image on top of the batch image: the array's index, which moto does not set (it
is the end of the job's id there), the role's credentials, and where S3 is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

#: What AWS Batch sets in a machine of an array, from the id that moto does set.
ENTRY = """#!/bin/sh
case "$AWS_BATCH_JOB_ID" in *:*) export AWS_BATCH_JOB_ARRAY_INDEX="${AWS_BATCH_JOB_ID##*:}" ;; esac
exec tandem "$@"
"""


def podman(*words: str, within_s: float = 120.0) -> str:
    ran = subprocess.run(["podman", *words], capture_output=True, text=True, timeout=within_s, check=False)
    assert ran.returncode == 0, f"podman {' '.join(words)}: {ran.stderr}"
    return ran.stdout


@contextmanager
def podman_socket(folder: Path) -> Iterator[str]:
    """The url of podman's API, as DOCKER_HOST takes it."""
    socket = folder / "podman.sock"
    with (folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", "podman", "system", "service", "--time=0", f"unix://{socket}"],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            assert service.poll() is None, (folder / "podman.log").read_text()
            assert time.monotonic() < deadline, "podman's socket did not come"
            time.sleep(0.1)
        yield f"unix://{socket}"
    finally:
        service.kill()
        service.wait(timeout=20)


@contextmanager
def image_on_aws(base: str, name: str, folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """`name` is the batch image as it finds itself on AWS, with these settings in its environment."""
    context = folder / "image"
    context.mkdir()
    (context / "entry.sh").write_text(ENTRY)
    lines = [f"FROM {base}", "COPY entry.sh /aws/entry.sh", *(f"ENV {key}={value}" for key, value in settings.items())]
    (context / "Dockerfile").write_text("\n".join([*lines, 'ENTRYPOINT ["/bin/sh", "/aws/entry.sh"]', ""]))
    podman("build", "-q", "--pull=never", "--format", "docker", "-t", name, str(context))
    try:
        yield
    finally:
        # moto takes its containers away, unless it is ended before they are.
        if left := podman("ps", "-aq", "--filter", f"ancestor={name}").split():
            podman("rm", "-f", "-t", "0", *left)
        podman("rmi", "-f", name)


def running(job_id: str) -> list[str]:
    """The names of a job's containers that run now; moto ends each with the job's id."""
    names = podman("ps", "--format", "{{.Names}}").split()
    return sorted(name for name in names if job_id in name)


def image_of_this_run() -> str | None:
    """The batch image that was built for the tests; None where there is none."""
    return os.environ.get("TANDEM_BATCH_IMAGE")
