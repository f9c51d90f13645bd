"""Work: the body of a worker process, which does one task after another as its leader hands them out."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pyarrow as pa

from batch.bounds import Bounds, share_memory, tighten
from batch.errors import InputChanged, JobError
from batch.lean import leave_pandas_out
from batch.observe.log_lines import set_up_logging
from batch.predict import EncodedRows, Spent, decode_rows, encode_rows, predict_batches
from batch.prepare import Prepared
from batch.retry.again import Again
from batch.shard import Plan, Shard
from batch.stop import leave_to_parent
from batch.supervise.bisect import ALL_FAIL, Probe
from batch.supervise.guardian import die_with
from batch.supervise.journal import Journal
from batch.supervise.kept import Kept
from batch.worker import Shape, complete_shard, rows_again, rows_answered, shard_rows
from batch.workers import load_here
from models.errors import DeviceFailed, ModelError
from models.model import Model, RowFault
from models.samples import default_samples

#: Objects that answered rows are no longer asked in, and other shards that are, at most.
MOST_CHANGED, MOST_OTHERS = 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker is to do next.

    Attributes:
        shard: its number among those of the run.
        poison: rows of it that the model is not shown: position -> the fault that they end with.
        tried: under `tandem retry`, the rows of it that the positions count, as the first worker that was given the
            shard has found them; None: this one is the first. Another retry may have settled some of them since.
        kept: where its answers are kept, as somebody died over it before.
        is_tight: a process passed its memory bound over it.
        isolate_s: since the shard was first begun, where somebody died over it.
        probe: only these rows of it go through the model, and nothing is written; None: all of it, to its part.
    """

    shard: int
    poison: Mapping[int, RowFault]
    tried: pa.Table | None = None
    kept: Kept | None = None
    is_tight: bool = False
    isolate_s: float = 0.0
    probe: Probe | None = None


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


def work(prepared: Prepared, shape: Shape, todo: Sequence[tuple[Plan, Shard]], memory: Any, pipe: Connection) -> None:
    """The body of one worker process.

    Sends `ready` when it wants a task, `found` where it is the first to read which rows are run again, `probed` (and
    how many rows the model was shown; None where there was no such row) and `done` after a task, and `failed` where the
    job cannot go on.

    Args:
        prepared: the job, as it crossed.
        shape: threads and streams.
        todo: the shards of the run.
        memory: of its journal.
        pipe: to the leader.
    """
    leave_pandas_out()
    set_up_logging(prepared.job.log)
    leave_to_parent()
    journal, progress = Journal(memory), PipeProgress(pipe)
    if sys.platform.startswith("linux"):
        # Also in a call that never comes back, which nobody watches then.
        die_with(os.getppid())
    try:
        try:
            prepared, model = load_here(prepared, shape)
            usual = share_memory(prepared.job.memory)
            while True:
                pipe.send(("ready",))
                task: Task | None = pipe.recv()
                if task is None:
                    return
                plan, shard = todo[task.shard]
                bounds = tighten(usual) if task.is_tight else usual
                again = rows_again(prepared, plan, shard, tried=task.tried)
                if again is not None and task.tried is None:
                    pipe.send(("found", again.tried))
                if task.probe is None:
                    done = complete_shard(
                        prepared,
                        model,
                        plan,
                        shard,
                        progress,
                        bounds,
                        journal=journal,
                        poison=task.poison,
                        kept=task.kept,
                        again=again,
                        isolate_s=task.isolate_s,
                    )
                    pipe.send(("done", done))
                else:
                    chosen: Iterable[pa.RecordBatch]
                    if task.probe.is_elsewhere:
                        chosen = choose_elsewhere(prepared, model, shard, task.probe.rows[0], bounds)
                    elif task.probe.is_answered:
                        chosen = choose_answered(prepared, plan, shard, task.probe.rows[0], bounds)
                    else:
                        chosen = choose_rows(prepared, plan, shard, task.probe.rows, bounds, again=again)
                        chosen = chosen if task.probe.is_singly else together(chosen)
                    pipe.send(("probed", try_rows(prepared, model, chosen, task.probe, bounds, journal)))
        except DeviceFailed as error:
            pipe.send(("device failed", error.reason))  # another process may find it well
        except (JobError, ModelError) as error:
            # Its constructor takes other arguments than its `args`: the parent makes it anew without it.
            pipe.send(("failed", type(error), error.args, error.__dict__))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, and with it whoever would want the rest


def try_rows(
    prepared: Prepared, model: Model, chosen: Iterable[pa.RecordBatch], probe: Probe, bounds: Bounds, journal: Journal
) -> int | None:
    """Send some rows of a shard through the model, by themselves, as far as the probe goes; their answers are dropped.

    A row that raises is well in this sense: it costs only itself. Rows that are tried one after another come one in a
    batch, and each is read when its turn is.

    Returns:
        How many the model was shown: those that were not at fault before. The journal says so as they come back. None
        where there was no row.
    """
    found = shown = 0
    journal.leave(shown)

    def counted_in() -> Iterator[tuple[pa.RecordBatch, Spent]]:
        nonlocal found
        for rows in chosen:
            found += rows.num_rows
            yield rows, Spent()

    def noted_back(encoded: Iterable[EncodedRows]) -> Iterator[EncodedRows]:
        nonlocal shown
        for window in encoded:
            yield window
            shown += len(np.unique(window.encoded.piece_rows))
            journal.leave(shown)
            if probe.is_control and shown:
                return

    encoded = encode_rows(model, counted_in(), column=prepared.columns.encoded, bounds=bounds, journal=journal)
    tried: Iterable[object] = noted_back(encoded)
    if probe.step != "encode":
        tried = answered = predict_batches(model, noted_back(encoded), journal=journal)
        if probe.step == "decode":
            tried = decode_rows(model, answered, journal=journal)
    for _ in tried:
        pass
    return shown if found else None


def choose_rows(
    prepared: Prepared, plan: Plan, shard: Shard, rows: Sequence[int], bounds: Bounds, *, again: Again | None
) -> Iterator[pa.RecordBatch]:
    """The rows at these positions of a shard, one by one, no more of it read than it takes to the next of them."""
    wanted, last = set(rows), max(rows)
    first = 0
    for window in shard_rows(prepared, plan, shard, bounds, again=again):
        for place in range(window.num_rows):
            if first + place in wanted:
                yield window.slice(place, 1)
        first += window.num_rows
        if first > last:
            return


def together(rows: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Rows in one batch, if there are any."""
    chosen = list(rows)
    return [pa.concat_batches(chosen)] if chosen else []


def choose_answered(prepared: Prepared, plan: Plan, shard: Shard, place: int, bounds: Bounds) -> list[pa.RecordBatch]:
    """Under `tandem retry`, a row of a shard that its part has an answer for, after so many others; or none.

    Rows of objects that changed meanwhile are passed over: they are not run again, so it is nobody's business.
    """
    changed: list[str] = []
    while len(changed) < MOST_CHANGED:
        again = rows_answered(prepared, plan, shard, place, besides=changed)
        if not again.tried.num_rows:
            break
        try:
            return list(shard_rows(prepared, plan, shard, bounds, again=again))
        except InputChanged as error:
            changed.append(error.url)
    return []


def choose_elsewhere(
    prepared: Prepared, model: Model, shard: Shard, place: int, bounds: Bounds
) -> Iterator[pa.RecordBatch]:
    """Rows that are none of a shard's, one by one: see Probe.is_elsewhere.

    Under `tandem retry` there are no rows of other shards: its columns are without the filter that let them in.
    """
    if place == 0:
        yield from singly(pa.record_batch({prepared.columns.encoded: pa.array(default_samples(model))}))
    elif prepared.retry is None:
        others = [(plan, other) for plan, other in prepared.shards if other.id != shard.id]
        for plan, other in others[place - 1 : MOST_OTHERS : ALL_FAIL - 1]:
            for window in itertools.islice(shard_rows(prepared, plan, other, bounds, again=None), 1):
                yield from singly(window)


def singly(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Each row in a batch of its own."""
    for place in range(rows.num_rows):
        yield rows.slice(place, 1)
