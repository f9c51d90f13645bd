"""A real `bentoml serve`, in a process of its own with a BentoML home of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.service.client import Reply, ask

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0


class Server:
    """Where a server listens, and what it says of itself."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port, self.log, self.process = port, log, process

    def get(self, path: str) -> Reply:
        return ask(self.port, "GET", path)

    def metric(self, name: str, model: str, **labels: str) -> float:
        """The value of tandem_lane_<name> of a model, summed over the labels that are not named."""
        return self.sum_of(f"tandem_lane_{name}", model=model, **labels)

    def sum_of(self, metric: str, **labels: str) -> float:
        """The sum of the series of a metric that have these labels."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        lines = re.findall(rf"^{metric}(?:{{(.*)}})? (\S+)$", self.get("/metrics").body.decode(), re.MULTILINE)
        found = [float(value) for said, value in lines if wanted <= set(said.split(","))]
        assert found, f"no {metric} of {labels}"
        return sum(found)


def bentoml_command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("bentoml")), *arguments]


def tandem_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "batch.cli.main", *arguments]


def environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    home.mkdir(parents=True, exist_ok=True)
    return {name: value for name, value in os.environ.items() if not name.startswith(("TANDEM_", "BENTOML_"))} | {
        "BENTOML_HOME": str(home),
        "TANDEM_JOBS_DIR": str(home / "jobs"),
        "TANDEM_JOBS_PRIORITY": "equal",  # idle, jobs would wait for the other tests to end
        "TANDEM_LATENCY_SLO": "60s",  # beside the other tests half a second is a promise that nobody could keep
        "BENTOML_DO_NOT_TRACK": "True",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **extra,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    home: Path,
    extra: Mapping[str, str],
    *,
    target: tuple[str, ...] = (),
    folder: Path = ROOT,
    command: Callable[..., list[str]] = bentoml_command,
    ready: Callable[[int], bool] | None = None,
) -> Iterator[Server]:
    """Run `bentoml serve`, or another command, until the block ends; it is given once /readyz says yes."""
    port, log = free_port(), home.with_suffix(".log")
    started = command("serve", *target, "--host", "127.0.0.1", "--port", str(port))
    with log.open("wb") as stream:
        process = subprocess.Popen(started, cwd=folder, env=environment(home, extra), stdout=stream, stderr=stream)
    try:
        ends = time.monotonic() + START_S
        while not (ready or is_ready)(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"not ready:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield Server(port, log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def is_ready(port: int) -> bool:
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        return ask(port, "GET", "/readyz").status == 200
    return False
