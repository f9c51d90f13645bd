"""The keeper: whatever becomes of one job, the others are run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs.book import Book
from service.jobs.keeper import Keeper
from service.jobs.record import JobRecord, new_id
from service.jobs.settings import JobsSettings
from service.observe.event_metrics import EventMetrics
from tests.service.jobs.wait import wait_until


@pytest.fixture
def book(tmp_path: Path) -> Book:
    book = Book(tmp_path / "jobs")
    book.open()
    return book


@pytest.fixture
def keeper(book: Book) -> Iterator[Keeper]:
    environ = {"TANDEM_JOBS_DIR": str(book.folder), "TANDEM_JOBS_MEMORY": "1GB", "TANDEM_JOBS_AT_ONCE": "1"}
    keeper = Keeper(book, JobsSettings.read(environ), EventMetrics())
    yield keeper
    keeper.stop()


def test_a_job_that_cannot_be_started_has_failed_and_says_why(
    book: Book, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("/srv/state/job.json:\npassword=hunter2 is none")

    monkeypatch.setattr("service.jobs.process.write_spec", refuse)
    jobs = [
        book.add(
            JobRecord(
                id=new_id(time.time()), owner="", key=None, asked="a", spec={"model": "m"}, model="m:1",
                status="queued", submitted=time.time(),
            ),
            most_waiting=9,
        )[0]
        for _ in range(2)
    ]  # fmt: skip
    keeper.start()
    for job in jobs:
        found = wait_until(lambda job=job: (now := book.find(job.id)) and now.has_ended and now)
        assert found.status == "failed"
        assert found.message == "it could not be started: ValueError: job.json: password=*** is none"
