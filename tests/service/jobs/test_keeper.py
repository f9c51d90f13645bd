"""The keeper: whatever becomes of one job, the others are run."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.jobs import process
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


def add_job(book: Book) -> JobRecord:
    record = JobRecord(
        id=new_id(time.time()), owner="", key=None, asked="a", spec={"model": "m"}, model="m:1",
        status="queued", submitted=time.time(),
    )  # fmt: skip
    return book.add(record, most_waiting=9)[0]


def test_a_job_that_cannot_be_started_has_failed_and_says_why(
    book: Book, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("/srv/state/job.json:\npassword=hunter2 is none")

    monkeypatch.setattr("service.jobs.process.write_spec", refuse)
    jobs = [add_job(book) for _ in range(2)]
    keeper.start()
    for job in jobs:
        found = wait_until(lambda job=job: (now := book.find(job.id)) and now.has_ended and now)
        assert found.status == "failed"
        assert found.message == "it could not be started: ValueError: job.json: password=*** is none"


def test_a_job_whose_log_has_no_end_is_killed_and_has_failed_and_its_log_is_cut(
    book: Book, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    most_bytes = 1_000_000
    monkeypatch.setattr("service.jobs.account.MOST_LOG_BYTES", most_bytes)
    writes = "import sys, time\nwhile True: sys.stderr.write('a warning\\n' * 1000); time.sleep(0.001)"
    monkeypatch.setattr(process, "command_of", lambda *_: [sys.executable, "-c", writes])
    job = add_job(book)
    keeper.start()
    found = wait_until(lambda: (now := book.find(job.id)) and now.has_ended and now)
    assert (found.status, found.message) == (
        "failed",
        "it wrote more than 1 MB to its log, as if without end, and was killed; what was finished is in the output",
    )
    folder = keeper.folder_of(job.id)
    assert (folder / process.LOG).stat().st_size == most_bytes
    assert not process.is_run(folder)


def test_a_job_whose_start_could_not_be_taken_back_is_started_again(book: Book, keeper: Keeper) -> None:
    """It is said to run, nobody runs it, and this is not the server's start, when such are taken up."""
    keeper.start()
    wait_until(lambda: keeper._turn is not None)
    job = add_job(book)
    book.change(job.id, status="running")
    found = wait_until(lambda: (now := book.find(job.id)) and now.status != "running" and now)
    assert "its process ended" in (found.message or "")


def test_a_job_that_was_cancelled_in_the_moment_in_which_its_run_ended_is_not_run_again(
    book: Book, keeper: Keeper
) -> None:
    job = add_job(book)
    book.change(job.id, cancel_asked=time.time(), not_before=time.time() + 300)
    keeper.start()
    found = wait_until(lambda: (now := book.find(job.id)) and now.has_ended and now)
    assert (found.status, found.message) == ("cancelled", "cancelled; what was finished is in the output")
