"""Seat: a place for one worker process at a time, and what is known of the one that sits there."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from batch.supervise.ending import Ending
from batch.supervise.journal import Journal
from batch.supervise.search import Search
from batch.supervise.watch import PROBE_S, Watch
from batch.supervise.work import Task
from batch.workers import Worker


@dataclass(slots=True, kw_only=True)
class Seat:
    """A place for one worker process at a time.

    Attributes:
        worker: the process that sits there.
        journal: what it has in hand.
        watch: looks at it.
        task: what it was given and has not yet done.
        search: what is to be found out here before another shard is begun.
        ending: why it was ended from here.
        is_fresh: it was given nothing yet.
        is_dismissed: it was told that there is no more.
        rows: that it told of in its task.
        since: when it was given its task, on `time.perf_counter`.
    """

    worker: Worker
    journal: Journal
    watch: Watch
    task: Task | None = None
    search: Search | None = None
    ending: Ending | None = None
    is_fresh: bool = True
    is_dismissed: bool = False
    rows: int = 0
    since: float = 0.0

    def give(self, task: Task) -> None:
        """Hand the process its next task."""
        self.task, self.is_fresh, self.since = task, False, time.perf_counter()
        self._send(task)

    def dismiss(self) -> None:
        """Tell the process that there is no more."""
        self.is_dismissed = True
        self._send(None)

    def _send(self, task: Task | None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is gone, and the next look finds that
            self.worker.pipe.send(task)

    def look(self, awake_s: float) -> None:
        """End the process where it does not answer, or holds too much."""
        if self.ending is not None:
            return
        probe = None if self.task is None else self.task.probe
        is_group = probe is not None and len(probe.rows) > 1 and not probe.is_control
        self.ending = self.watch.look(awake_s, stall_s=PROBE_S if is_group else None)
        if self.ending is not None:
            self.worker.process.kill()

    def await_end(self, within_s: float) -> None:
        """The process has said its last word: it ends by itself within so many seconds, or is ended."""
        self.worker.process.join(within_s)
        self.worker.process.kill()  # where it closed its pipe and does not end
        self.worker.process.join()

    def clear(self, *, kill: bool = False) -> None:
        """Close the process for good."""
        if kill:
            self.worker.process.kill()
        self.worker.process.join()
        self.worker.pipe.close()

    def move_in(self, new: Seat) -> None:
        """The process of another seat, which is fresh, sits here from now on; the search goes on."""
        self.worker, self.journal, self.watch = new.worker, new.journal, new.watch
        self.task, self.ending, self.is_fresh = None, None, True
