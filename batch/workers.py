"""Workers: processes of the local engine, which share nothing but the store; who leads them is in `supervise.lead`.

Each has a pipe of its own to this process. Nothing is locked or queued between them, so that a worker may be killed at
any moment without holding up another, and ends by itself where this process is gone.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from batch.choose.settle import load_for
from batch.prepare import Prepared
from batch.sizes import parse_size
from batch.spec import JobSpec
from batch.stop import held_back
from batch.worker import Shape
from models.footprint import held_bytes
from models.load import describe_model
from models.model import Model
from models.runtimes.threads import default_threads

#: A fork would share sockets and locks of half-initialised libraries.
SPAWN = multiprocessing.get_context("spawn")


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


def start_process(body: Callable[..., None], content: tuple[object, ...], *shared: object, name: str) -> Worker:
    """Start a process; its body gets `content`, what is `shared` with it, and the other end of the pipe.

    The content, which grows with the job, is handed over in memory that both have. As an argument it would go through
    a pipe whose other end this process holds too: a child that died before it read would leave us writing for ever.
    """
    ours, theirs = SPAWN.Pipe()
    pickled = pickle.dumps(content)
    letter = SPAWN.RawArray("b", len(pickled))
    memoryview(letter).cast("B")[:] = pickled
    process = SPAWN.Process(target=begin, args=(body, letter, shared, theirs), name=name)
    with held_back():
        process.start()
    theirs.close()  # else its end would stay open when the worker is gone
    return Worker(process=process, pipe=ours)


def begin(body: Callable[..., None], letter: Any, shared: tuple[object, ...], pipe: Connection) -> None:
    """What a process does first: read what it was given."""
    content = pickle.loads(memoryview(letter).cast("B"))
    del letter
    body(*content, *shared, pipe)
