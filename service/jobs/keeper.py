"""Keeper: one thread that runs the jobs of a folder, in order, as long as it is this server's turn.

Of several servers with one folder one has the turn: it holds a lock on a file in it, which ends with its process. The
others take jobs in, answer and watch; the keeper finds what they wrote in the book.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.say import one_line
from service.errors import ServiceError, hide_places
from service.jobs import process
from service.jobs.account import MOST_SAID, Account
from service.jobs.book import Book
from service.jobs.errors import JobsUnavailable
from service.jobs.outcome import CANCELLED, judge_end
from service.jobs.record import JobRecord
from service.jobs.settings import JobsSettings
from service.observe.event_metrics import EventMetrics

log = logging.getLogger("bentoml.tandem")

TICK_S = 0.5
#: Between two looks at what a running job says of itself.
LOOK_S = 1.0
#: Between two tries for the turn, and after something that went wrong.
TURN_S = 2.0
#: What is ended finishes its shard first; a cancelled job for so long,
CANCEL_GRACE_S = 20.0
#: one of a server that ends for so long, after which it goes on alone and is taken up by the next server.
STOP_GRACE_S = 3.0
FLOOD = (
    "it wrote more than {size_mb} MB to its log, as if without end, and was killed; what was finished is in the output"
)
FORGET_EVERY_S = 3600.0
TURN = "turn.lock"


@dataclass(slots=True, kw_only=True)
class Running:
    """A job whose process runs.

    Attributes:
        child: what runs its process; None where an earlier server started it.
        failure: why it was killed as one that has failed.
    """

    record: JobRecord
    child: subprocess.Popen[bytes] | None
    account: Account
    looked_at: float = 0.0
    asked_at: float | None = None
    failure: str | None = None
    last_look: dict[str, Any] | None = None


class Keeper:
    """Runs at most `settings.at_once` jobs of the book."""

    def __init__(self, book: Book, settings: JobsSettings, events: EventMetrics) -> None:
        self._book, self._settings, self._events = book, settings, events
        self._running: dict[str, Running] = {}
        self._turn: int | None = None
        self._forgot_at = 0.0
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something is to be done that need not wait for the next tick."""
        self._wake.set()

    def stop(self) -> None:
        """Ask running jobs to end, wait for them a little, and give the turn up; they are gone on with later."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_GRACE_S + 5)

    def folder_of(self, job: str) -> Path:
        return self._book.folder / job

    def _work(self) -> None:
        trouble: str | None = None
        while not self._stopping.is_set():
            pause_s = TICK_S
            try:
                if self._turn is None and not self._take_turn():
                    pause_s = TURN_S
                else:
                    self._tick()
                trouble = None
            except (ServiceError, OSError) as error:
                if str(error) != trouble:  # a disk that stays full is said once
                    log.error("jobs wait: %s", error)
                trouble, pause_s = str(error), TURN_S
            except Exception:
                log.exception("jobs wait: the keeper failed")
                pause_s = TURN_S
            self._wake.wait(pause_s)
            self._wake.clear()
        try:
            self._pause_all()
        except (ServiceError, OSError) as error:
            log.error("jobs were left as they are: %s", error)
        finally:
            if self._turn is not None:
                os.close(self._turn)

    def _take_turn(self) -> bool:
        """Have the turn, if no other server has it, and take up what an earlier one left."""
        self._book.open()
        lock = os.open(self._book.folder / TURN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for record in self._book.of_status("running"):
                self._take_up(record)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException:
            os.close(lock)
            raise
        self._turn = lock
        return True

    def _take_up(self, record: JobRecord) -> None:
        """A job that was running when an earlier server ended: it still does, or it is to be run again."""
        if record.id in self._running:
            return
        account = Account(
            self.folder_of(record.id) / process.LOG, known=record.progress, shards_before=record.shards_before
        )
        account.read()
        if not process.is_run(self.folder_of(record.id)):
            self._conclude(record, account)
            return
        if (pid := process.running_pid(self.folder_of(record.id))) is not None:
            process.defer_to_us(pid)
        log.info("job %s is still run, by process %s, and is taken up", record.id, pid or "(not said yet)")
        self._running[record.id] = Running(record=record, child=None, account=account)

    def _tick(self) -> None:
        now = time.monotonic()
        for running in list(self._running.values()):
            self._look_at(running, now)
        for record in self._book.of_status("running"):  # such as one whose start could not be taken back
            self._take_up(record)
        queued = self._book.of_status("queued")
        for record in queued:
            if record.cancel_asked is not None:  # in the moment in which its last run ended
                self._cancel(record)
                continue
            if len(self._running) >= self._settings.at_once:
                break
            if record.not_before <= time.time() and record.id not in self._running:
                self._start(record)
        waiting = sum(record.id not in self._running for record in queued)
        self._events.jobs_now(running=len(self._running), queued=waiting)
        if now - self._forgot_at > FORGET_EVERY_S or not self._forgot_at:
            self._forgot_at = now
            for job in self._book.forget(ended_before=time.time() - self._settings.keep_s):
                shutil.rmtree(self.folder_of(job), ignore_errors=True)

    def _cancel(self, record: JobRecord) -> None:
        """End a job that is to be run again, and is not run now."""
        changes = {"status": "cancelled", "ended": time.time(), "message": CANCELLED}
        if self._book.change(record.id, only_if="queued", **changes) is not None:
            self._events.job("cancelled")

    def _start(self, record: JobRecord) -> None:
        folder = self.folder_of(record.id)
        account = Account(folder / process.LOG, known=record.progress, shards_before=record.shards_before)
        account.begin()
        begun = self._book.change(
            record.id,
            only_if="queued",
            status="running",
            begun=record.begun or time.time(),
            message=None,
            exit_code=None,
            shards_at_start=account.shards_done,
        )
        if begun is None:  # cancelled in this very moment
            return
        try:
            child = process.start(folder, record.spec, self._settings)
        except OSError as error:
            why = JobsUnavailable(error.strerror or type(error).__name__)
            self._book.change(record.id, status="queued", message=str(why), not_before=time.time() + 30)
            raise why from error
        except Exception as error:  # of this job alone: the others go on
            log.exception("job %s could not be started", record.id)
            why_not = hide_places(one_line(f"it could not be started: {type(error).__name__}: {error}"))[:MOST_SAID]
            self._book.change(record.id, status="failed", ended=time.time(), message=why_not)
            self._events.job("failed")
            return
        log.info("job %s runs", record.id)
        self._running[record.id] = Running(record=begun, child=child, account=account)

    def _look_at(self, running: Running, now: float) -> None:
        """See whether a job still runs, how far it has come, and whether its end was asked for."""
        record, folder = running.record, self.folder_of(running.record.id)
        is_alive = running.child is not None and running.child.poll() is None
        if not is_alive and not process.is_run(folder):
            self._conclude(self._book.find(record.id) or record, running.account, failure=running.failure)
            del self._running[record.id]
            return
        if now - running.looked_at < LOOK_S:
            return
        running.looked_at = now
        if running.account.overflows():
            self._end_flood(running)
            return
        latest = self._book.find(record.id) or record
        if latest.cancel_asked is not None:
            self._end(running, now)
        found = running.account.look()
        if found != running.last_look:
            running.last_look = found
            self._book.change(record.id, progress=found)

    def _end(self, running: Running, now: float) -> None:
        """End a job: at first in good order, then at once."""
        pid = process.running_pid(self.folder_of(running.record.id))
        if pid is None:  # it has just ended, or is just being started
            return
        if running.asked_at is None:
            running.asked_at = now
            process.ask_to_end(pid)
        elif now - running.asked_at > CANCEL_GRACE_S:
            log.warning(
                "job %s has not ended %.0f s after it was asked to: it is killed", running.record.id, CANCEL_GRACE_S
            )
            process.end_at_once(pid)

    def _end_flood(self, running: Running) -> None:
        """End a job that would fill the disk with its log; the next run would, too."""
        if (pid := process.running_pid(self.folder_of(running.record.id))) is not None:
            running.failure = FLOOD.format(size_mb=running.account.most_log_bytes // 1_000_000)
            process.end_at_once(pid)

    def _conclude(self, record: JobRecord, account: Account, *, failure: str | None = None) -> None:
        account.cut()
        account.read()
        code = process.exit_code(self.folder_of(record.id))
        code = account.exit_code if code is None else code
        has_advanced = account.shards_done > record.shards_at_start
        changes = judge_end(record, code, said=account.said, has_advanced=has_advanced, now=time.time())
        if failure is not None and changes["status"] == "queued":
            changes |= {"status": "failed", "ended": time.time(), "message": failure}
        has_ended = changes["status"] != "queued"
        self._book.change(record.id, **changes, progress=account.look(ended=has_ended))
        if has_ended:
            self._events.job(changes["status"])
        log.info("job %s: %s (exit code %s) %s", record.id, changes["status"], code, changes["message"] or "")

    def _pause_all(self) -> None:
        """The server ends: jobs are asked to end, too; those that still have a shard in hand finish it alone."""
        for running in self._running.values():
            self._book.change(running.record.id, only_if="running", is_paused=True)
            if (pid := process.running_pid(self.folder_of(running.record.id))) is not None:
                process.ask_to_end(pid)
        ends = time.monotonic() + STOP_GRACE_S
        while self._running and time.monotonic() < ends:
            for running in list(self._running.values()):
                with contextlib.suppress(ServiceError):
                    self._look_at(running, time.monotonic())
            time.sleep(0.05)
