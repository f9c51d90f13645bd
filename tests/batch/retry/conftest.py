"""Finished jobs with error rows, and what was wrong mended."""

from __future__ import annotations

import pytest

from tests.batch.places import Bucket, Place
from tests.batch.retry.faulty import put_input, run


@pytest.fixture
def finished(place: Place) -> Place:
    """A finished job: two of its three parts hold two rows that raised and one that was null."""
    put_input(place)
    assert run(place)["errors"] == {"NullValue": 2, "ValueError": 4}
    return place


@pytest.fixture
def finished_s3(s3_place: Bucket) -> Bucket:
    put_input(s3_place, good=0)
    run(s3_place)
    return s3_place


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENDED", "yes")
