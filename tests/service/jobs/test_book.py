"""The book of jobs: durable, shared, and small."""

from __future__ import annotations

import errno
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import ServiceError
from service.jobs.book import Book, kept
from service.jobs.errors import JobConflict, JobsBusy, JobsFull, JobsUnavailable
from service.jobs.record import JobRecord, new_id


def record(*, key: str | None = None, owner: str = "ann", asked: str = "a", now: float = 1.0) -> JobRecord:
    return JobRecord(
        id=new_id(now), owner=owner, key=key, asked=asked, spec={"model": "m", "input": "é"}, model="m:1",
        status="queued", submitted=now,
    )  # fmt: skip


@pytest.fixture
def book(tmp_path: Path) -> Book:
    book = Book(tmp_path / "jobs")
    book.open()
    return book


def test_what_is_kept_is_found_as_it_was_also_by_another(book: Book) -> None:
    job = replace(record(), progress={"rows": 1}, is_paused=True)
    assert book.add(job, most_waiting=9) == (job, True)
    other = Book(book.folder)
    other.open()
    assert other.find(job.id) == job
    assert other.find("none") is None


def test_only_its_user_reads_it(book: Book) -> None:
    book.add(record(), most_waiting=9)
    assert stat.S_IMODE(book.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in book.folder.iterdir()} == {0o600}


def test_of_many_submissions_with_one_key_one_is_a_job(book: Book) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: book.add(record(key="k"), most_waiting=9), range(16)))
    assert len({job.id for job, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1


def test_a_key_is_its_owners_and_its_jobs(book: Book) -> None:
    book.add(record(key="k"), most_waiting=9)
    assert book.add(record(key="k", owner="bob"), most_waiting=9)[1]
    for act in (lambda: book.add(record(key="k", asked="b"), most_waiting=9), lambda: book.find_same("ann", "k", "b")):
        with pytest.raises(JobConflict):
            act()


def test_no_more_wait_than_may(book: Book) -> None:
    first, _ = book.add(record(), most_waiting=1)
    with pytest.raises(JobsBusy):
        book.add(record(), most_waiting=1)
    book.change(first.id, status="running")
    assert book.add(record(), most_waiting=1)[1]


def test_a_change_counts_once_and_only_where_the_job_is_still_as_it_was(book: Book) -> None:
    job, _ = book.add(record(), most_waiting=9)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: book.change(job.id, only_if="queued", status="running"), range(16)))
    (changed,) = filter(None, found)
    assert (changed.status, changed.revision) == ("running", 1)


def test_the_newest_are_listed_first_and_each_owner_sees_his(book: Book) -> None:
    jobs = [book.add(record(owner=owner, now=float(i)), most_waiting=9)[0] for i, owner in enumerate("abab", 1)]
    assert book.newest(owner=None, limit=3) == jobs[:0:-1]
    assert book.newest(owner="a", limit=9) == [jobs[2], jobs[0]]
    assert book.of_status("queued") == jobs


def test_what_may_not_be_seen_takes_no_place_in_the_list(book: Book) -> None:
    jobs = [book.add(record(owner=owner, now=float(i)), most_waiting=9)[0] for i, owner in enumerate("abb", 1)]
    assert book.newest(owner=None, limit=1, may_see=lambda job: job.owner == "a") == [jobs[0]]


def test_only_what_has_ended_long_ago_is_forgotten(book: Book) -> None:
    old, new, waits = (book.add(record(), most_waiting=9)[0] for _ in range(3))
    book.change(old.id, status="done", ended=10.0)
    book.change(new.id, status="done", ended=20.0)
    assert book.forget(ended_before=15.0) == [old.id]
    assert {job.id for job in book.newest(owner=None, limit=9)} == {new.id, waits.id}


@pytest.fixture
def writer(book: Book) -> Iterator[sqlite3.Connection]:
    """Somebody who is in the middle of writing."""
    connection = sqlite3.connect(book.folder / "jobs.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_who_reads_does_not_wait_for_who_writes(book: Book, writer: sqlite3.Connection) -> None:
    assert book.newest(owner=None, limit=9) == []


def test_a_book_that_is_gone_or_none_is_said_in_one_line(book: Book) -> None:
    for path in book.folder.iterdir():
        path.unlink()
    with pytest.raises(JobsUnavailable, match="TANDEM_JOBS_DIR"):
        book.find("a")
    (book.folder / "jobs.sqlite").write_bytes(b"no book " * 1000)
    with pytest.raises(JobsUnavailable):
        book.add(record(), most_waiting=9)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), JobsFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), JobsFull),
        (PermissionError(errno.EACCES, "Permission denied"), JobsUnavailable),
        (sqlite3.OperationalError("disk I/O error"), JobsUnavailable),
    ],
)
def test_a_disk_that_keeps_nothing_is_a_refusal_and_no_crash(error: Exception, said: type[ServiceError]) -> None:
    with pytest.raises(said) as refused, kept():
        raise error
    assert "\n" not in str(refused.value)


def fill(path: Path) -> None:
    """Write into a file that may not grow."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA max_page_count = 6")
        for _ in range(999):
            connection.execute("INSERT INTO jobs (id, spec) VALUES (hex(randomblob(9)), hex(randomblob(900)))")
    finally:
        connection.close()


def test_a_full_book_says_that_it_is_full(book: Book) -> None:
    with pytest.raises(JobsFull), kept():
        fill(book.folder / "jobs.sqlite")
