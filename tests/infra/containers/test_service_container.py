"""The endpoint's image: healthy, confined, and with the same answers as a job of the batch image."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.infra.conftest import ROOT
from tests.infra.containers.podman import BATCH, CONFINED, IMAGES, SERVICE, container, inspect, podman
from tests.service.server import free_port

pytestmark = IMAGES

MODEL = "vowels-bilstm"
ROWS = ROOT / "models" / "zoo" / "data" / "vowels.parquet"
COUNT = 40


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[str, str]]:
    """Its container's name, and its url."""
    port = free_port()
    settings = ("-e", "TANDEM_ALLOW_ANONYMOUS=1", "-e", f"BENTOML_PORT={port}", "-e", "BENTOML_HOST=127.0.0.1")
    with container(SERVICE, options=settings) as name:
        deadline = time.monotonic() + 90
        while podman("healthcheck", "run", name).returncode != 0:
            assert inspect(name, "container")["State"]["Running"], podman("logs", name).stderr
            assert time.monotonic() < deadline, podman("logs", name).stderr
            time.sleep(0.5)
        yield name, f"http://127.0.0.1:{port}"


def test_the_endpoint_is_healthy_by_the_images_own_check(endpoint: tuple[str, str]) -> None:
    state = inspect(endpoint[0], "container")["State"]
    assert state["Health"]["Status"] == "healthy"


def test_the_endpoint_answers_as_a_job_of_the_batch_image_does(endpoint: tuple[str, str], tmp_path: Path) -> None:
    rows = pq.read_table(ROWS).slice(0, COUNT)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir(mode=0o777)
    for folder in (tmp_path, tmp_path / "out"):
        folder.chmod(0o777)
    pq.write_table(rows, tmp_path / "in" / "rows.parquet")
    mounts = ("-v", f"{ROOT / 'models' / 'zoo' / MODEL}:/model:ro", "-v", f"{tmp_path}:/data")
    job = ("run", "--model", "/model", "--input", "/data/in", "--output", "/data/out", "--column", "sequence=steps")
    ran = podman("run", "--rm", "--network", "none", *CONFINED, *mounts, BATCH, *job)
    assert ran.returncode == 0, ran.stderr
    (part,) = (tmp_path / "out").glob("part-*.parquet")
    batch = pq.read_table(part).to_pylist(maps_as_pydicts="strict")

    asked = [{"sequence": steps} for steps in rows.column("steps").to_pylist()]
    request = urllib.request.Request(
        f"{endpoint[1]}/predict",
        json.dumps({"model": MODEL, "rows": asked}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        online = json.load(reply)["predictions"]
    assert len(online) == len(batch) == COUNT
    for one, other in zip(online, batch, strict=True):
        assert one["label"] == other["label"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


def test_told_to_end_the_endpoint_ends_by_itself() -> None:
    settings = (
        "-e",
        "TANDEM_ALLOW_ANONYMOUS=1",
        "-e",
        f"BENTOML_PORT={free_port()}",
        "-e",
        "BENTOML_HOST=127.0.0.1",
    )
    with container(SERVICE, options=settings) as name:
        deadline = time.monotonic() + 90
        while podman("healthcheck", "run", name).returncode != 0:
            assert time.monotonic() < deadline, podman("logs", name).stderr
            time.sleep(0.5)
        stopped = podman("stop", "-t", "35", name)
        assert stopped.returncode == 0, stopped.stderr
        assert inspect(name, "container")["State"]["ExitCode"] in (0, 75, 143)


def test_without_keys_the_endpoint_is_open_to_nobody() -> None:
    ran = podman("run", "--rm", "--network", "none", *CONFINED, SERVICE, within_s=60)
    assert ran.returncode != 0
    assert "TANDEM_KEYS" in ran.stdout + ran.stderr
