"""A function that is ended after some minutes runs a job call after call, and says how each call ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.serverless import handler
from tests.batch.array_job import MODEL, NOTES, ROW_S, asked, assert_once, put_shards
from tests.batch.places import Bucket, part_keys


class Remaining:
    """A call that has so many seconds left when it begins."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * self.seconds)


@pytest.fixture
def job(s3: str, s3_place: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job of twelve shards, each of half a second."""
    put_shards(s3_place, 12)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    monkeypatch.setenv(ROW_S, "0.025")
    where = {"input": f"{s3_place.url}in/", "output": f"{s3_place.url}out/"}
    return {"model": MODEL, **where, "shard_mb": 0.000001}


def test_a_job_longer_than_a_call_is_done_over_several(job: dict[str, Any], s3_place: Bucket, tmp_path: Path) -> None:
    codes = []
    while not codes or (codes[-1] == 75 and len(codes) < 8):
        # No shard is begun in the last minute: of the first calls five seconds are left for shards.
        answer = handler({"action": "run", "job": job}, Remaining(60 + 5 if len(codes) < 2 else 60 + 50))
        codes.append(answer["exit_code"])
    assert codes[0] == 75, "the bound of the first call was not kept"
    assert codes[-1] == 0
    assert "tandem head" in answer["said"]
    assert_once(s3_place, 12)
    assert asked(tmp_path / "notes").total() == 12 * 20, "a shard was run twice"


def test_a_call_at_its_end_stops_what_it_runs_in_time(job: dict[str, Any], s3_place: Bucket) -> None:
    answer = handler({"action": "run", "job": job}, Remaining(31))  # told to end one second after its start
    assert answer["exit_code"] == 75
    assert "out/_SUCCESS" not in s3_place.etags()


def test_small_work_is_for_the_function_and_large_work_for_machines(
    job: dict[str, Any], s3_place: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = handler({"action": "weigh", "job": job}, Remaining(600))
    assert (small["exit_code"], small["small"]) == (0, True)
    monkeypatch.setenv("TANDEM_SMALL_MB", "0.001")
    monkeypatch.setenv("TANDEM_MACHINE_MB", "0.005")
    monkeypatch.setenv("TANDEM_MOST_MACHINES", "3")
    large = handler({"action": "weigh", "job": job}, Remaining(600))
    assert (large["small"], large["machines"]) == (False, 3)
    assert large["words"][:5] == ["run", "--engine", "array", "--array-size", "3"]
    assert part_keys(s3_place) == [], "weighing writes nothing"


@pytest.mark.parametrize("action", ["weigh", "run"])
def test_a_job_that_cannot_be_run_is_answered_with_its_exit_code(job: dict[str, Any], action: str) -> None:
    missing = handler({"action": action, "job": job | {"input": "s3://nobody-has-this/in/"}}, Remaining(600))
    assert missing["exit_code"] == 2
    assert "nobody-has-this" in missing["said"]
    unknown = handler({"action": action, "job": job | {"colour": "red"}}, Remaining(600))
    assert (unknown["exit_code"], "colour is no setting" in unknown["said"]) == (2, True)
    assert handler({"action": action}, Remaining(600))["exit_code"] == 2
