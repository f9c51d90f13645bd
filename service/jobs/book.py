"""Book: every job that was submitted, in one SQLite file that several servers may share.

Who reads waits for nobody (WAL), and whoever writes for a moment at most. A job that was taken in is on disk before the
caller hears of it. Every call opens the file anew: half a millisecond, and threads share nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from service.jobs.errors import JobConflict, JobsBusy, JobsFull, JobsUnavailable
from service.jobs.record import JobRecord

BUSY_S = 10.0
COLUMNS = tuple(field.name for field in fields(JobRecord))
AS_JSON = ("spec", "progress")
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    {", ".join(COLUMNS).replace("id,", "id TEXT PRIMARY KEY,", 1)}
);
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_status ON jobs (status);
"""


class Book:
    """The jobs of a folder.

    Every method raises JobsFull or JobsUnavailable where the file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "jobs.sqlite"

    def open(self) -> None:
        """Make the folder and the file, for this user only, where they are not there."""
        with kept():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_S)) as book:
                book.execute("PRAGMA journal_mode = WAL")
                book.executescript(SCHEMA)

    def add(self, record: JobRecord, *, most_waiting: int) -> tuple[JobRecord, bool]:
        """Keep a new job; where its owner used its key before, the job of that time, and False.

        Raises:
            JobConflict: the key was used for another job.
            JobsBusy: too many wait.
        """
        with self._writing() as book:
            if (found := find_same(book, record.owner, record.key, record.asked)) is not None:
                return found, False
            check_room(book, most_waiting)
            values = [to_column(name, getattr(record, name)) for name in COLUMNS]
            book.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * len(COLUMNS))})", values)
        return record, True

    def check_room(self, most_waiting: int) -> None:
        """Whether one more may wait.

        Raises:
            JobsBusy: too many do.
        """
        with self._reading() as book:
            check_room(book, most_waiting)

    def find_same(self, owner: str, key: str | None, asked: str) -> JobRecord | None:
        """The job that its owner submitted with this Idempotency-Key before.

        Raises:
            JobConflict: the key was used for another job.
        """
        with self._reading() as book:
            return find_same(book, owner, key, asked)

    def find(self, job: str) -> JobRecord | None:
        with self._reading() as book:
            return next(iter(select(book, "id = ?", job)), None)

    def newest(
        self, *, owner: str | None, limit: int, may_see: Callable[[JobRecord], bool] = lambda _: True
    ) -> list[JobRecord]:
        """The newest jobs first, of those that may be seen: an owner's, or with None everybody's."""
        with self._reading() as book:
            whose = ("owner = ?", owner) if owner is not None else ("1",)
            found = each(book, f"{whose[0]} ORDER BY id DESC", *whose[1:])
            return list(islice(filter(may_see, found), limit))

    def of_status(self, status: str) -> list[JobRecord]:
        """The oldest first."""
        with self._reading() as book:
            return select(book, "status = ? ORDER BY id", status)

    def change(self, job: str, *, only_if: str | None = None, **changes: Any) -> JobRecord | None:
        """Change a job, as long as it has the status `only_if`; the job as it is then, None where nothing was done."""
        setting = ", ".join(f"{name} = ?" for name in changes)
        values = [to_column(name, value) for name, value in changes.items()]
        where, more = ("id = ? AND status = ?", [only_if]) if only_if is not None else ("id = ?", [])
        with self._writing() as book:
            done = book.execute(
                f"UPDATE jobs SET {setting}, revision = revision + 1 WHERE {where}", [*values, job, *more]
            )
            return next(iter(select(book, "id = ?", job)), None) if done.rowcount else None

    def forget(self, *, ended_before: float) -> list[str]:
        """Drop the jobs that ended before a moment; their ids."""
        with self._writing() as book:
            rows = book.execute("DELETE FROM jobs WHERE ended < ? RETURNING id", [ended_before]).fetchall()
        return [job for (job,) in rows]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with kept(), contextlib.closing(self._connect()) as book:
            yield book

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; it is on disk when the block has ended."""
        with kept(), contextlib.closing(self._connect()) as book:
            book.execute("BEGIN IMMEDIATE")
            try:
                yield book
                book.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    book.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        book = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
        book.execute("PRAGMA synchronous = FULL")
        return book


def check_room(book: sqlite3.Connection, most_waiting: int) -> None:
    (waiting,) = book.execute("SELECT count(*) FROM jobs WHERE status = 'queued'").fetchone()
    if waiting >= most_waiting:
        raise JobsBusy(f"{waiting} jobs wait already, and no more may.", retry_after_s=60)


def find_same(book: sqlite3.Connection, owner: str, key: str | None, asked: str) -> JobRecord | None:
    found = select(book, "owner = ? AND key = ?", owner, key) if key is not None else []
    if found and found[0].asked != asked:
        raise JobConflict(f"Idempotency-Key: {key!r} was used for another job ({found[0].id}).")
    return found[0] if found else None


def select(book: sqlite3.Connection, where: str, *values: Any) -> list[JobRecord]:
    return list(each(book, where, *values))


def each(book: sqlite3.Connection, where: str, *values: Any) -> Iterator[JobRecord]:
    """Those that are asked for, read as far as somebody takes them."""
    for row in book.execute(f"SELECT {', '.join(COLUMNS)} FROM jobs WHERE {where}", values):
        yield JobRecord(**{name: from_column(name, value) for name, value in zip(COLUMNS, row, strict=True)})


def to_column(name: str, value: Any) -> Any:
    return json.dumps(value) if name in AS_JSON and value is not None else value


def from_column(name: str, value: Any) -> Any:
    if name == "is_paused":
        return bool(value)
    return json.loads(value) if name in AS_JSON and value is not None else value


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Say what keeps jobs from being kept in our own words.

    Raises:
        JobsFull: no room is left.
        JobsUnavailable: whatever else it is.
    """
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise JobsFull() from error
        raise JobsUnavailable(f"their book says: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobsFull() from error
        raise JobsUnavailable(error.strerror or type(error).__name__) from error
