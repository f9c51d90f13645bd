"""The batch image on a real S3 server: exact output, confined; told to end, it can go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.places import Bucket, part_keys, put_table, read_output, texts
from tests.infra.conftest import ROOT
from tests.infra.containers.podman import BATCH, CONFINED, IMAGES, container, podman, wait_for_end
from tests.servers.weed import ADMIN, Weed

pytestmark = IMAGES

MODEL = ROOT / "models" / "zoo" / "bbc-bert"
FILES, ROWS = 40, 24


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    with Weed(tmp_path_factory.mktemp("weed")) as weed:
        s3 = weed.client()
        s3.create_bucket(Bucket="images")
        place = Bucket("images", s3)
        for path in (path for path in MODEL.rglob("*") if path.is_file()):
            place.put(f"model/{path.relative_to(MODEL).as_posix()}", path.read_bytes())
        for number in range(FILES):
            labels = ["sport"] * ROWS
            put_table(place, f"in/{number:03}.parquet", texts(ROWS, first=ROWS * number, topic=labels))
        yield weed


def options(weed: Weed) -> tuple[str, ...]:
    settings = {"AWS_ACCESS_KEY_ID": ADMIN[0], "AWS_SECRET_ACCESS_KEY": ADMIN[1], "AWS_ENDPOINT_URL_S3": weed.url}
    settings |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    return tuple(word for name, value in settings.items() for word in ("-e", f"{name}={value}"))


def job(output: str, *more: str) -> tuple[str, ...]:
    places = ("--model", "s3://images/model", "--input", "s3://images/in/", "--output", f"s3://images/{output}/")
    return ("run", *places, "--shard-mb", "0.0001", "--threads", "1", *more)


def assert_whole(place: Bucket, output: str) -> None:
    out = read_output(place, f"{output}/")
    assert out.column("id").to_pylist() == list(range(FILES * ROWS))
    assert out.column("error").null_count == FILES * ROWS


def test_a_job_runs_to_its_end_as_nobody_on_a_root_that_is_read_only(weed: Weed) -> None:
    words = job("whole", "--label", "topic")
    ran = podman("run", "--rm", "--network", "host", *CONFINED, *options(weed), BATCH, *words)
    assert ran.returncode == 0, ran.stderr
    assert_whole(Bucket("images", weed.client()), "whole")


def test_told_to_end_it_says_75_and_the_same_command_finishes(weed: Weed) -> None:
    place = Bucket("images", weed.client())
    with container(BATCH, *job("stopped"), options=options(weed)) as name:
        deadline = time.monotonic() + 60
        while not part_keys(place, "stopped/"):
            assert time.monotonic() < deadline, podman("logs", name).stderr
            time.sleep(0.05)
        podman("kill", "--signal", "TERM", name)
        assert wait_for_end(name) == 75, podman("logs", name).stderr
    before = place.etags("stopped/part-")
    assert 0 < len(part_keys(place, "stopped/")) < FILES
    again = podman("run", "--rm", "--network", "host", *CONFINED, *options(weed), BATCH, *job("stopped"))
    assert again.returncode == 0, again.stderr
    assert_whole(place, "stopped")
    assert before.items() <= place.etags("stopped/part-").items()


def test_a_command_that_is_wrong_says_so_by_its_exit_code(tmp_path: Path) -> None:
    ran = podman("run", "--rm", "--network", "none", *CONFINED, BATCH, "run", "--no-such-flag")
    assert ran.returncode == 2
