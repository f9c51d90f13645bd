"""Lead: hands out the shards to worker processes, and sees that a row that ends or hangs one costs itself only.

A worker that ends by a signal or by its own code, does not answer, or passes its memory bound is replaced. The rows
that it had in a call then are tried in its replacement, in ever smaller groups (see `bisect`); those that end a process
twice alone are poison: the shard is begun anew without showing them to the model, and they become error rows.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO

import pyarrow as pa

from batch.errors import Interrupted, JobError, revive
from batch.prepare import Prepared
from batch.progress import Progress
from batch.shard import Plan, Shard
from batch.sizes import parse_size
from batch.stop import Stop
from batch.supervise.bisect import Passed
from batch.supervise.ending import Ending, ending_of
from batch.supervise.guardian import GUARDED, Death, suspects_of
from batch.supervise.journal import SIZE_BYTES, Call, Journal
from batch.supervise.kept import Kept, no_room
from batch.supervise.left import Left
from batch.supervise.search import Poison, passed_before
from batch.supervise.seat import Seat
from batch.supervise.watch import Awake, Watch, patience_of
from batch.supervise.work import Task, work
from batch.worker import Done, Shape, judge
from batch.workers import SPAWN, portable, start_process

#: So often, in seconds, workers are looked at that say nothing.
TICK_S = 0.05
#: A shard, or the start of a worker, that ended so many processes without any row to blame is left to another run.
MOST_DEATHS = 3
#: Seconds that a worker has to end after its last word.
LEAVING_S = 10.0


def run_in_processes(
    prepared: Prepared,
    todo: Sequence[tuple[Plan, Shard]],
    shape: Shape,
    progress: Progress,
    stop: Stop,
    *,
    earlier: Done,
    death: Death | None = None,
    turns: Iterator[int] | None = None,
) -> Done:
    """Run shards in `shape.workers` processes; each loads the model and asks for one shard after another.

    Args:
        prepared: the job.
        todo: its shards.
        shape: how many processes, and their threads.
        progress: who is told.
        stop: whether to begin another shard.
        earlier: what was committed before.
        death: of a process that ran this job before; what it had in hand is tried first.
        turns: the order in which they are taken, as numbers in `todo`; by default as they come.

    Raises:
        Interrupted: asked to stop, or workers ended again and again and no row was to blame.
        TooManyErrors: the error rows of all workers passed the job's bound.
        JobError, ModelError: what a worker raised; the others end after the shard they have in hand.
    """
    return Lead(prepared, todo, shape, progress, stop, earlier, turns).run(death)


class Lead:
    """The workers of a run, their tasks, and what is known of rows at fault."""

    def __init__(
        self,
        prepared: Prepared,
        todo: Sequence[tuple[Plan, Shard]],
        shape: Shape,
        progress: Progress,
        stop: Stop,
        earlier: Done,
        turns: Iterator[int] | None = None,
    ) -> None:
        self.jobs, self.todo, self.shape = portable(prepared, shape), list(todo), shape
        self.progress, self.stop, self.earlier = progress, stop, earlier
        self.job = prepared.job
        share = self.jobs.job.memory
        self.bound_bytes = None if share is None else parse_size(share)
        self.left = Left(range(len(self.todo)) if turns is None else turns)
        self.seats: list[Seat] = []
        self.started = 0
        self.done = Done()
        self.failure: Exception | None = None
        self.poison = Poison(is_believed=prepared.retry is not None)  # rows that were found to be at fault before
        self.deaths: Counter[int | None] = Counter()
        self.begun: dict[int, float] = {}  # when a shard that somebody died over was first begun
        self.told_rows: Counter[int] = Counter()
        self.kept: dict[int, list[IO[bytes]]] = {}
        self.tight: set[int] = set()
        self.tried: dict[int, pa.Table] = {}  # the rows of a shard that are run again, which its positions count
        self.awake = Awake()

    def run(self, death: Death | None = None) -> Done:
        """Until every shard has its part, or somebody stops it; see run_in_processes."""
        try:
            for _ in range(self.shape.workers):
                self.seats.append(self.make_seat())
            if death is not None:
                self.take_over(death)
            while self.seats:
                self.listen()
                self.look()
        finally:
            for seat in self.seats:  # none, unless this is interrupted
                seat.clear(kill=True)
        if self.failure is not None:
            raise self.failure
        if self.stop.asked:
            raise Interrupted(f"it was asked to stop by {self.stop.asked}")
        return self.done

    def make_seat(self) -> Seat:
        """Start a worker process."""
        memory = SPAWN.RawArray("b", SIZE_BYTES)
        name = f"worker-{self.started}"
        self.started += 1
        worker = start_process(work, (self.jobs, self.shape, self.todo), memory, name=name)
        journal = Journal(memory)
        assert worker.process.pid is not None
        watch = Watch(worker.process.pid, journal, stall_s=patience_of(self.job), bound_bytes=self.bound_bytes)
        return Seat(worker=worker, journal=journal, watch=watch)

    def take_over(self, death: Death) -> None:
        """Begin with the shard that another process died of."""
        for number, (_, shard) in enumerate(self.todo):
            if shard.id == death.shard:
                self.left.hold(number)
                self.deaths[number] = 1
                self.begun[number] = death.begun
                if death.ending.kind == "OutOfMemory":
                    self.tight.add(number)
                self.investigate(self.seats[0], number, death.calls, flight=death.flight)

    def listen(self) -> None:
        """Hear what the workers say, and who is gone."""
        ends = [end for seat in self.seats for end in (seat.worker.pipe, seat.worker.process.sentinel)]
        wait(ends, timeout=TICK_S)
        for seat in list(self.seats):
            try:
                message = seat.worker.pipe.recv() if seat.worker.pipe.poll() else None
            except (EOFError, OSError, pickle.UnpicklingError):
                self.lose(seat)
                continue
            if message is not None:
                self.hear(seat, *message)
            elif seat.worker.process.exitcode is not None and not seat.worker.pipe.poll():
                self.lose(seat)

    def look(self) -> None:
        """End workers that do not answer, or hold too much."""
        awake_s = self.awake.look()
        for seat in self.seats:
            seat.look(awake_s)

    def hear(self, seat: Seat, kind: str, *content: object) -> None:
        """One message of a worker."""
        if kind == "ready":
            self.deaths[None] = 0
            self.assign(seat)
        elif kind == "advanced":
            self.advance(seat, *content)  # type: ignore[arg-type]
        elif kind == "told":
            event, facts = content
            self.progress.told(str(event), **facts)  # type: ignore[arg-type]
        elif kind == "found":
            assert seat.task is not None
            self.tried[seat.task.shard] = content[0]
        elif kind == "probed":
            assert seat.search is not None
            seat.task = None
            shown = content[0]
            rows = len(seat.search.probe.rows)
            self.answer(seat, None if shown is None else Passed(rows=rows, shown=int(shown)))  # type: ignore[call-overload]
        elif kind == "done":
            assert seat.task is not None
            for file in self.kept.pop(seat.task.shard, []):
                file.close()
            self.tried.pop(seat.task.shard, None)
            seat.task = None
            self.done.join(*content)  # type: ignore[arg-type]
            if GUARDED.journal is not None:
                GUARDED.journal.count(asdict(self.done))
            try:
                judge(self.done, self.job, self.earlier)
            except JobError as error:
                self.failure = self.failure or error
        elif kind == "device failed":
            seat.ending = Ending(kind="DeviceFailed", reason=f"found its device failing ({content[0]})")
        elif kind == "failed":
            seat.is_dismissed = True
            self.failure = self.failure or revive(*content)  # type: ignore[arg-type]

    def assign(self, seat: Seat) -> None:
        """Give a worker that is ready its next task, or let it go."""
        if self.failure is not None or self.stop.asked or not (seat.search or self.left):
            seat.dismiss()
        elif seat.search is None:
            number = self.left.take()
            try:
                kept = self.keep(number)
            except OSError as error:
                self.failure = no_room(f"answers in {tempfile.gettempdir()}", error)
                seat.dismiss()
                return
            seat.rows = 0
            now = time.perf_counter()
            seat.give(
                Task(
                    shard=number,
                    poison=dict(self.poison.faults[number]),
                    tried=self.tried.get(number),
                    kept=kept,
                    is_tight=number in self.tight,
                    isolate_s=now - self.begun.get(number, now),
                )
            )
        elif seat.search.probe.is_fresh and not seat.is_fresh:
            self.replace(seat)
        else:
            number = seat.search.shard
            tried, is_tight = self.tried.get(number), number in self.tight
            seat.give(Task(shard=number, poison={}, tried=tried, probe=seat.search.probe, is_tight=is_tight))

    def keep(self, number: int) -> Kept | None:
        """Where a shard's answers are kept: only of one that somebody died over, for it costs the writing of them."""
        if number not in self.kept:
            return None
        for file in self.kept[number][:-1]:
            file.close()
        before = self.kept[number][-1:]
        # Without a name: nothing of it outlives this process. It is closed when the shard has its part.
        now = tempfile.TemporaryFile(prefix="tandem-")  # noqa: SIM115
        self.kept[number] = [*before, now]
        return Kept(before=path_of(before[0]) if before else None, now=path_of(now))

    def advance(self, seat: Seat, rows: int) -> None:
        """Tell of rows that are answered, once, however often their shard is begun."""
        if seat.task is None:
            return
        self.poison.is_any_well = True
        seat.rows += rows
        if (more := seat.rows - self.told_rows[seat.task.shard]) > 0:
            self.told_rows[seat.task.shard] = seat.rows
            self.progress.advanced(more)

    def lose(self, seat: Seat) -> None:
        """A worker is gone: replace it, unless it was let go or the run is over anyway."""
        seat.await_end(LEAVING_S)
        if seat.is_dismissed or self.failure is not None or self.stop.asked:
            self.seats.remove(seat)
            seat.clear()
            return
        ending = seat.ending or ending_of(seat.worker.process.exitcode)
        task, name = seat.task, seat.worker.process.name
        if task is not None and task.probe is not None:
            assert seat.search is not None
            if len(task.probe.rows) == 1 and not (task.probe.is_answered or task.probe.is_elsewhere):
                seat.search.endings[task.probe.rows[0]] = ending
            self.answer(seat, passed_before(task.probe, seat.journal, ending))
        else:
            number = None if task is None else task.shard
            self.deaths[number] += 1
            if number is not None:
                self.begun.setdefault(number, seat.since)
            shard = "none" if number is None else self.todo[number][1].id
            if number is not None and ending.kind == "OutOfMemory":
                self.tight.add(number)
            self.progress.told("worker lost", worker=name, reason=f"({ending.reason})", shard=shard)
            if self.deaths[number] >= MOST_DEATHS:
                what = "while it started" if number is None else f"over shard {shard}"
                advice = "; where calls take that long, raise --stall-s" if ending.kind == "RowHung" else ""
                self.failure = Interrupted(
                    f"{name} {ending.reason}, the last of {MOST_DEATHS} {what}, and no row was to blame{advice}"
                )
            elif number is not None:
                self.suspect(seat, number, ending)
        if self.failure is not None:
            self.seats.remove(seat)
            seat.clear()
        else:
            self.replace(seat)

    def suspect(self, seat: Seat, number: int, ending: Ending) -> None:
        """Find out whether a row of the shard was to blame for a worker's death: those that were in a call first."""
        calls = suspects_of(seat.journal, ending)
        flight = seat.journal.in_flight
        if self.deaths[number] > 1 and flight:  # not of a call: then of whatever was on its way
            calls = [*calls, Call(number=0, step="decode", rows=flight, expected_s=0.0)]
        self.investigate(seat, number, calls, flight=flight)

    def investigate(self, seat: Seat, number: int, calls: Sequence[Call], *, flight: range) -> None:
        """Have this seat try the rows of these calls before anything else; the shard goes on afterwards."""
        self.kept.setdefault(number, [])
        seat.search = self.poison.search(number, calls, flight=flight)
        if seat.search is None:
            self.left.give_back(number)

    def answer(self, seat: Seat, came: Passed | None) -> None:
        """A probe is done: ask for the next one, or let the shard go on."""
        assert seat.search is not None
        number = seat.search.shard
        try:
            convicted = self.poison.answer(seat.search, came)
        except Interrupted as error:
            self.failure = self.failure or error
            return
        if convicted is not None:
            seat.search = None
            self.tell(number, convicted)
            self.left.give_back(number)

    def replace(self, seat: Seat) -> None:
        """Let a fresh process sit there."""
        seat.clear(kill=True)
        seat.move_in(self.make_seat())

    def tell(self, number: int, convicted: Mapping[int, Ending]) -> None:
        """Say which rows of a shard are poison: from now on the model is not shown them."""
        shard = self.todo[number][1].id
        for row, ending in convicted.items():
            self.progress.told("row isolated", shard=shard, row=row, error=ending.kind, reason=f"({ending.reason})")
        if convicted:
            self.deaths[number] = 0


def path_of(file: IO[bytes]) -> Path:
    """The path of a file without a name, for the processes of this user, as long as it is open here."""
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
