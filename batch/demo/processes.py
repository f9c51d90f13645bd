"""The demo's processes: an embedded S3, the endpoint, and `tandem run`; all of them end with the demo."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from batch.errors import JobError

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0


class DemoFailed(JobError):
    """A check of the demo does not hold, or one of its processes did not start."""

    exit_code = 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def s3_settings(port: int) -> dict[str, str]:
    """The environment in which boto3 finds the embedded S3 and nothing else, whatever the user's own settings."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log: Path, ready: str, environment: Mapping[str, str], cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until `ready` answers 200, and end it and its children afterwards.

    Raises:
        DemoFailed: it ended, or did not answer in time; the message has the end of its log.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, cwd=cwd, start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
                raise DemoFailed(f"{command[0]} did not start: {tail or 'it said nothing'}")
            time.sleep(0.2)
        yield process
    finally:
        end(process)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to end; after ten seconds end its whole session."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


def tandem(*arguments: str) -> list[str]:
    """The command line of `tandem`, run by this interpreter."""
    return [sys.executable, "-m", "batch.cli.main", *arguments]


def run_tandem(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run a command to its end.

    Raises:
        DemoFailed: it ended with another code than 0.
    """
    result = subprocess.run(tandem(*arguments), env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise DemoFailed(f"tandem {' '.join(arguments)} ended with {result.returncode}: {last[0]}")
