"""Lead: hands out the shards to worker processes, and sees that a row that ends or hangs one costs itself only.

A worker that ends by a signal or by its own code, does not answer, or passes its memory bound is replaced. The rows
that it had in a call then are tried in its replacement, in ever smaller groups (see `bisect`); those that end a process
twice alone are poison: the shard is begun anew without showing them to the model, and they become error rows.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
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
from batch.supervise.bisect import ALONE, Probe, Suspects, find_poison
from batch.supervise.ending import Ending, ending_of
from batch.supervise.guardian import Death, suspects_of
from batch.supervise.journal import SIZE_BYTES, Call, Journal
from batch.supervise.kept import Kept
from batch.supervise.watch import PROBE_S, Awake, Watch, patience_of
from batch.supervise.work import Task, work
from batch.worker import Done, Shape, judge
from batch.workers import SPAWN, Worker, portable, start_process
from models.model import RowFault

#: So often, in seconds, workers are looked at that say nothing.
TICK_S = 0.05
#: A shard, or the start of a worker, that ended so many processes without any row to blame is left to another run.
MOST_DEATHS = 3
#: Seconds that a worker has to end after its last word.
LEAVING_S = 10.0
#: Rows that are tried where none passed.
CONTROLS = 3


@dataclass(slots=True, kw_only=True)
class Search:
    """Which rows of a shard are poison is being found out.

    Attributes:
        shard: its number.
        probes: asks for probes; see find_poison.
        probe: the one asked for.
        endings: row -> how its process ended when it was tried alone.
    """

    shard: int
    probes: Generator[Probe, int | None, list[int]]
    probe: Probe
    endings: dict[int, Ending] = field(default_factory=dict)


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


def run_in_processes(
    prepared: Prepared,
    todo: Sequence[tuple[Plan, Shard]],
    shape: Shape,
    progress: Progress,
    stop: Stop,
    *,
    death: Death | None = None,
) -> Done:
    """Run shards in `shape.workers` processes; each loads the model and asks for one shard after another.

    Args:
        prepared: the job.
        todo: its shards.
        shape: how many processes, and their threads.
        progress: who is told.
        stop: whether to begin another shard.
        death: of a process that ran this job before; what it had in hand is tried first.

    Raises:
        Interrupted: asked to stop, or workers ended again and again and no row was to blame.
        TooManyErrors: the error rows of all workers passed the job's bound.
        JobError, ModelError: what a worker raised; the others end after the shard they have in hand.
    """
    return Lead(prepared, todo, shape, progress, stop).run(death)


class Lead:
    """The workers of a run, their tasks, and what is known of rows at fault."""

    def __init__(
        self, prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], shape: Shape, progress: Progress, stop: Stop
    ) -> None:
        self.jobs, self.todo, self.shape = portable(prepared, shape), list(todo), shape
        self.progress, self.stop = progress, stop
        self.job = prepared.job
        share = self.jobs.job.memory
        self.bound_bytes = None if share is None else parse_size(share)
        self.left = deque(range(len(self.todo)))
        self.seats: list[Seat] = []
        self.started = 0
        self.done = Done()
        self.failure: Exception | None = None
        self.poison: defaultdict[int, dict[int, RowFault]] = defaultdict(dict)
        self.deaths: Counter[int | None] = Counter()
        self.told_rows: Counter[int] = Counter()
        self.is_any_well = False
        self.is_retry = prepared.retry is not None  # rows that were found to be at fault before
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
                self.empty(seat, kill=True)
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
        worker = start_process(work, (self.jobs, self.shape, self.todo, memory), name)
        journal = Journal(memory)
        assert worker.process.pid is not None
        watch = Watch(worker.process.pid, journal, stall_s=patience_of(self.job), bound_bytes=self.bound_bytes)
        return Seat(worker=worker, journal=journal, watch=watch)

    def take_over(self, death: Death) -> None:
        """Begin with the shard that another process died of."""
        for number, (_, shard) in enumerate(self.todo):
            if shard.id == death.shard:
                self.left.remove(number)
                self.deaths[number] = 1
                if death.ending.kind == "OutOfMemory":
                    self.tight.add(number)
                self.investigate(self.seats[0], number, death.calls, controls=near(death.flight))

    def listen(self) -> None:
        """Hear what the workers say, and who is gone."""
        ends = [end for seat in self.seats for end in (seat.worker.pipe, seat.worker.process.sentinel)]
        wait(ends, timeout=TICK_S)
        for seat in list(self.seats):
            try:
                while seat.worker.pipe.poll():
                    self.hear(seat, *seat.worker.pipe.recv())
            except (EOFError, OSError, pickle.UnpicklingError):
                self.lose(seat)
                continue
            if seat.worker.process.exitcode is not None and not seat.worker.pipe.poll():
                self.lose(seat)

    def look(self) -> None:
        """End workers that do not answer, or hold too much."""
        awake_s = self.awake.look()
        for seat in self.seats:
            if seat.ending is None:
                is_group = seat.task is not None and seat.task.probe is not None and len(seat.task.probe.rows) > 1
                seat.ending = seat.watch.look(awake_s, stall_s=PROBE_S if is_group else None)
                if seat.ending is not None:
                    seat.worker.process.kill()

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
            self.answer(seat, passed=len(seat.search.probe.rows) if content[0] else None)
        elif kind == "done":
            assert seat.task is not None
            for file in self.kept.pop(seat.task.shard, []):
                file.close()
            self.tried.pop(seat.task.shard, None)
            seat.task = None
            self.done.join(*content)  # type: ignore[arg-type]
            try:
                judge(self.done, self.job)
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
            seat.is_dismissed = True
            seat.worker.pipe.send(None)
            return
        if seat.search is None:
            number = self.left.popleft()
            seat.rows = 0
            poison, tried, is_tight = dict(self.poison[number]), self.tried.get(number), number in self.tight
            seat.task = Task(shard=number, poison=poison, tried=tried, kept=self.keep(number), is_tight=is_tight)
        elif seat.search.probe.is_fresh and not seat.is_fresh:
            self.replace(seat)
            return
        else:
            number = seat.search.shard
            tried, is_tight = self.tried.get(number), number in self.tight
            seat.task = Task(shard=number, poison={}, tried=tried, probe=seat.search.probe, is_tight=is_tight)
        seat.is_fresh = False
        seat.worker.pipe.send(seat.task)

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
        self.is_any_well = True
        seat.rows += rows
        if (more := seat.rows - self.told_rows[seat.task.shard]) > 0:
            self.told_rows[seat.task.shard] = seat.rows
            self.progress.advanced(more)

    def lose(self, seat: Seat) -> None:
        """A worker is gone: replace it, unless it was let go or the run is over anyway."""
        seat.worker.process.join(LEAVING_S)
        seat.worker.process.kill()  # where it closed its pipe and does not end
        seat.worker.process.join()
        if seat.is_dismissed or self.failure is not None or self.stop.asked:
            self.seats.remove(seat)
            self.empty(seat)
            return
        ending = seat.ending or ending_of(seat.worker.process.exitcode)
        task, name = seat.task, seat.worker.process.name
        if task is not None and task.probe is not None:
            assert seat.search is not None
            if len(task.probe.rows) == 1 and not task.probe.is_answered:
                seat.search.endings[task.probe.rows[0]] = ending
            calls = suspects_of(seat.journal, ending)
            is_known = task.probe.is_singly and calls
            # Its rows have the positions 0, 1, ...: those before the one in hand have passed.
            self.answer(seat, passed=min(call.rows[0] for call in calls) if is_known else 0)
        else:
            number = None if task is None else task.shard
            self.deaths[number] += 1
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
            self.empty(seat)
        else:
            self.replace(seat)

    def suspect(self, seat: Seat, number: int, ending: Ending) -> None:
        """Find out whether a row of the shard was to blame for a worker's death: those that were in a call first."""
        calls = suspects_of(seat.journal, ending)
        flight = seat.journal.in_flight
        if self.deaths[number] > 1 and flight:  # not of a call: then of whatever was on its way
            calls = [*calls, Call(number=0, step="decode", rows=flight, expected_s=0.0)]
        self.investigate(seat, number, calls, controls=near(flight))

    def investigate(self, seat: Seat, number: int, calls: Sequence[Call], *, controls: Sequence[int]) -> None:
        """Have this seat try the rows of these calls before anything else; the shard goes on afterwards."""
        self.kept.setdefault(number, [])
        known = self.poison[number]
        order = {"forward": 0, "encode": 1, "decode": 2}
        groups = [
            Suspects(rows=rows, step=call.step)
            for call in sorted(calls, key=lambda call: order[call.step])
            if (rows := [row for row in call.rows if row not in known])
        ]
        controls = [row for row in controls if row not in known]
        probes = find_poison(groups, controls, is_any_well=self.is_any_well, is_believed=self.is_retry)
        try:
            seat.search = Search(shard=number, probes=probes, probe=next(probes))
        except StopIteration:
            self.left.appendleft(number)

    def answer(self, seat: Seat, *, passed: int | None) -> None:
        """A probe is done, and so many of its rows have passed: ask for the next one, or judge."""
        search = seat.search
        assert search is not None
        self.is_any_well |= bool(passed)
        try:
            search.probe = search.probes.send(passed)
        except StopIteration as end:
            seat.search = None
            self.convict(search, end.value)
            self.left.appendleft(search.shard)
        except Interrupted as error:
            self.failure = self.failure or error

    def convict(self, search: Search, rows: Sequence[int]) -> None:
        """Rows are poison: from now on the model is not shown them."""
        for row in rows:
            ending = search.endings[row]
            message = f"its process {ending.reason}, {ALONE} times alone"
            fault = RowFault(kind=ending.kind, message=message, attempts=ALONE + 1)
            self.poison[search.shard][row] = fault
            shard = self.todo[search.shard][1].id
            self.progress.told("row isolated", shard=shard, row=row, error=fault.kind, reason=f"({ending.reason})")
        if rows:
            self.deaths[search.shard] = 0

    def replace(self, seat: Seat) -> None:
        """Let a fresh process sit there."""
        self.empty(seat, kill=True)
        new = self.make_seat()
        seat.worker, seat.journal, seat.watch = new.worker, new.journal, new.watch
        seat.task, seat.ending, seat.is_fresh = None, None, True

    def empty(self, seat: Seat, *, kill: bool = False) -> None:
        """Close a seat's process for good."""
        if kill:
            seat.worker.process.kill()
        seat.worker.process.join()
        seat.worker.pipe.close()


def near(flight: range) -> list[int]:
    """Rows that were answered before a process died, and some that came with those that it died of."""
    return [*range(max(flight.start - CONTROLS, 0), flight.start), *flight[:CONTROLS], *flight[-CONTROLS:]]


def path_of(file: IO[bytes]) -> Path:
    """The path of a file without a name, for the processes of this user, as long as it is open here."""
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
