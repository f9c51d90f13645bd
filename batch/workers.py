"""Workers: the local engine, several processes that share nothing but the store.

Each has a pipe of its own to this process, which hands out the shards. Nothing is locked or queued between them, so
that a worker may be killed at any moment without holding up another, and ends by itself where this process is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from batch.choose.settle import load_for
from batch.errors import Interrupted, JobError, revive
from batch.lean import leave_pandas_out
from batch.observe.log_lines import set_up_logging
from batch.prepare import Prepared
from batch.progress import Progress
from batch.shard import Plan, Shard
from batch.sizes import parse_size
from batch.spec import JobSpec
from batch.stop import Stop
from batch.worker import Done, Shape, run_shards
from models.errors import ModelError
from models.footprint import held_bytes
from models.load import describe_model
from models.model import Model
from models.runtimes.threads import default_threads

#: A fork would share sockets and locks of half-initialised libraries.
SPAWN = multiprocessing.get_context("spawn")


class PipeProgress:
    """Sends what a worker has to tell to the process that shows it."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        raise AssertionError("planning is the parent's")

    def advanced(self, rows: int) -> None:
        self.pipe.send(("advanced", rows))

    def told(self, event: str, **facts: object) -> None:
        self.pipe.send(("told", event, facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process and this end of its pipe."""

    process: SpawnProcess
    pipe: Connection


def share_cores(job: JobSpec, workers: int, shards: int) -> Shape:
    """The processes that a job starts, none of them without a shard, and the threads of the arithmetic in each.

    What is not said is shared out: two processes with all cores each would take them from one another.
    """
    workers = min(workers, shards)
    said = job.threads is not None or "OMP_NUM_THREADS" in os.environ
    threads = job.threads or default_threads()
    return Shape(workers=workers, threads=threads if said else max(1, threads // workers))


def run_in_processes(
    prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], shape: Shape, progress: Progress, stop: Stop
) -> Done:
    """Run shards in `shape.workers` processes; each loads the model and asks for one shard after another.

    Raises:
        Interrupted: asked to stop, or a worker died; what the others had in hand was committed first.
        JobError, ModelError: what a worker raised; the others end after the shard they have in hand.
    """
    jobs = portable(prepared, shape)
    names = [f"worker-{number}" for number in range(shape.workers)]
    workers = [start_process(work, (jobs, shape, list(todo)), name) for name in names]
    try:
        done, failure, reports = lead(workers, len(todo), progress, stop)
        for worker in workers:
            worker.process.join()
    except BaseException:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
        raise
    finally:
        for worker in workers:
            worker.pipe.close()
    if failure is not None:
        raise failure
    if stop.asked:
        raise Interrupted(f"it was asked to stop by {stop.asked}")
    for worker in workers:
        if worker.process.exitcode:
            raise Interrupted(f"{worker.process.name} ended with {ending(worker.process.exitcode)}")
    if reports < len(workers):
        raise Interrupted("a worker's own code ended its process")
    return done


def portable(prepared: Prepared, shape: Shape) -> Prepared:
    """The job as it crosses to another process: an operator's own class may not, and is made there by its name."""
    job = divide_memory(prepared.job, shape.workers).model_copy(update={"threads": shape.threads, "workers": 1})
    return replace(prepared, job=job, described=replace(prepared.described, own=None), model=None)


def divide_memory(job: JobSpec, workers: int) -> JobSpec:
    """The job of one worker: its share of what this process leaves."""
    if job.memory is None:
        return job
    share = max(parse_size(job.memory) - held_bytes(), 1) // workers
    return job.model_copy(update={"memory": f"{share}B", "workers": 1})


def load_here(prepared: Prepared, shape: Shape) -> tuple[Prepared, Model]:
    """The job and its model in the process that it crossed to."""
    if prepared.described.folder is None:
        prepared = replace(prepared, described=describe_model(prepared.described.name))
    return prepared, load_for(prepared.job, prepared.described, streams=shape.streams)


def start_process(body: Callable[..., None], content: tuple[object, ...], name: str) -> Worker:
    """Start a process; its body gets `content` and the other end of the pipe."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=body, args=(*content, theirs), name=name)
    process.start()
    theirs.close()  # else its end would stay open when the worker is gone
    return Worker(process=process, pipe=ours)


def lead(workers: Sequence[Worker], shards: int, progress: Progress, stop: Stop) -> tuple[Done, Exception | None, int]:
    """Hand out the shards and hear what comes of them, until every pipe is closed.

    Returns:
        What the workers did, the first error that one of them raised, and how many said how they ended.
    """
    done, failure, reports = Done(), None, 0
    left = iter(range(shards))
    open_pipes = [worker.pipe for worker in workers]
    while open_pipes:
        for pipe in wait(open_pipes, timeout=0.2):
            assert isinstance(pipe, Connection)
            try:
                kind, *content = pipe.recv()
                if kind == "ready":
                    pipe.send(None if failure is not None or stop.asked else next(left, None))
            except (EOFError, OSError):
                open_pipes.remove(pipe)
                continue
            if kind == "advanced":
                progress.advanced(content[0])
            elif kind == "told":
                progress.told(content[0], **content[1])
            elif kind == "done":
                done.join(content[0])
                reports += 1
            elif kind == "failed" and failure is None:
                failure = revive(*content)
    return done, failure, reports


def ending(exitcode: int) -> str:
    """`signal SIGKILL` or `exit code 1`."""
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"


def work(prepared: Prepared, shape: Shape, todo: Sequence[tuple[Plan, Shard]], pipe: Connection) -> None:
    """The body of one worker process."""
    leave_pandas_out()
    set_up_logging(prepared.job.log)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The parent hears the signal, which a terminal sends to all, and lets every shard in hand be committed.
        signal.signal(number, signal.SIG_IGN)

    def next_shards() -> Iterator[tuple[Plan, Shard]]:
        while True:
            pipe.send(("ready",))
            number: int | None = pipe.recv()
            if number is None:
                return
            yield todo[number]

    try:
        report: tuple[Any, ...]
        try:
            prepared, model = load_here(prepared, shape)
            report = ("done", run_shards(prepared, model, next_shards(), PipeProgress(pipe), Stop()))
        except (JobError, ModelError) as error:
            # Its constructor takes other arguments than its `args`: the parent makes it anew without it.
            report = ("failed", type(error), error.args, error.__dict__)
        pipe.send(report)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, and with it whoever would want the rest
