"""Workers: the local engine, several processes that share nothing but the store and a counter of shards."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from batch.errors import Interrupted, JobError
from batch.prepare import Prepared
from batch.progress import Progress
from batch.shard import Plan, Shard
from batch.stop import Stop
from batch.worker import Done, load_for, run_shards
from models.errors import ModelError
from models.load import describe_model

#: A fork would share sockets and locks of half-initialised libraries.
SPAWN = multiprocessing.get_context("spawn")


class QueueProgress:
    """Sends what a worker has to tell to the process that shows it."""

    def __init__(self, events: Any) -> None:
        self.events = events

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        raise AssertionError("planning is the parent's")

    def advanced(self, rows: int) -> None:
        self.events.put(("advanced", rows))

    def told(self, event: str, **facts: object) -> None:
        self.events.put(("told", event, facts))


def run_in_processes(prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], progress: Progress, stop: Stop) -> Done:
    """Run shards in `job.workers` processes; each loads the model and takes the next shard that nobody has.

    Raises:
        Interrupted: asked to stop, or a worker died; what the others had in hand was committed first.
        JobError, ModelError: what a worker raised; the others end after the shard they have in hand.
    """
    events = SPAWN.Queue()
    counter = SPAWN.Value("q", 0)
    stopping = SPAWN.Event()
    size = min(prepared.job.workers, len(todo))
    # An operator's own class may not cross processes: each worker makes one of its own by its name.
    portable = replace(prepared, described=replace(prepared.described, own=None))
    arguments = (portable, list(todo), counter, stopping, events)
    processes = [SPAWN.Process(target=work, args=arguments, name=f"worker-{i}") for i in range(size)]
    for process in processes:
        process.start()
    done, failure = Done(), None
    try:
        while any(process.is_alive() for process in processes) or not events.empty():
            if stop.asked:
                stopping.set()
            try:
                kind, *content = events.get(timeout=0.2)
            except queue.Empty:
                continue
            if kind == "advanced":
                progress.advanced(content[0])
            elif kind == "told":
                progress.told(content[0], **content[1])
            elif kind == "done":
                done.join(content[0])
            elif failure is None:
                failure = content[0]
                stopping.set()
    finally:
        stopping.set()
        for process in processes:
            process.join()
    if failure is not None and not (stop.asked and isinstance(failure, Interrupted)):
        raise failure
    if stop.asked:
        raise Interrupted(f"it was asked to stop by {stop.asked}")
    for process in processes:
        if process.exitcode:
            raise Interrupted(f"{process.name} ended with {ending(process.exitcode)}")
    return done


def ending(exitcode: int) -> str:
    """`signal SIGKILL` or `exit code 1`."""
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"


def work(prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], counter: Any, stopping: Any, events: Any) -> None:
    """The body of one worker process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # The parent hears the signal, which a terminal sends to all, and lets every shard in hand be committed.
        signal.signal(number, signal.SIG_IGN)

    def next_shards() -> Iterator[tuple[Plan, Shard]]:
        while not stopping.is_set():
            with counter.get_lock():
                taken = counter.value
                counter.value = taken + 1
            if taken >= len(todo):
                return
            yield todo[taken]

    try:
        if prepared.described.folder is None:
            prepared = replace(prepared, described=describe_model(prepared.described.name))
        done = run_shards(prepared, load_for(prepared), next_shards(), QueueProgress(events), Stop())
        events.put(("done", done))
    except (JobError, ModelError) as error:
        with contextlib.suppress(Exception):
            events.put(("failed", error))
