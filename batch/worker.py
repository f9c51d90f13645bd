"""One worker: takes shards one after another, until none is left or it is asked to stop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from batch.bounds import Bounds, share_memory
from batch.commit import commit_part, look_again, part_key
from batch.errors import Interrupted, StoreUnavailable, TooManyErrors
from batch.in_flight import InFlight
from batch.observe.facts import shard_facts
from batch.overlap import QueueTime, overlap
from batch.overtaken import Overtaken, leave_when_there
from batch.predict import PredictedRows, Spent, decode_rows, encode_rows, predict_batches, time_reading
from batch.prepare import Prepared
from batch.progress import Progress
from batch.read import read_rows
from batch.retry.again import Again, find_again, part_there, read_again
from batch.retry.find_errors import read_answered_row
from batch.retry.replace_part import replace_part
from batch.scratch import open_scratch
from batch.shard import Plan, Shard
from batch.spec import JobSpec
from batch.stop import Stop
from batch.supervise.journal import Journal
from batch.supervise.kept import Kept, skip_rows
from batch.write import Part, write_part
from models.blame import blame_of
from models.measure_costs import keep_costs
from models.model import Model, RowFault
from models.window import WindowStats

Item = TypeVar("Item")

#: Error rates are judged from so many rows on; before that, one bad row would be a high share.
JUDGED_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a run uses the machine: processes, threads of the arithmetic in each, and calls of it at once in each.

    `streams` is None where that is left to the runtime.
    """

    workers: int = 1
    threads: int = 1
    streams: int | None = None


@dataclass(slots=True, kw_only=True)
class Done:
    """What a worker has done so far. `seconds` are those that its shards took, of all workers together; `streams` is
    how many calls of its arithmetic ran at once; `first_error` is an example. Of its rows, those `in_vain` are of
    shards whose part another run put first.
    """

    rows: int = 0
    errors: int = 0
    in_vain: int = 0
    first_error: str = ""
    streams: int = 1
    seconds: float = 0.0
    spent: Spent = field(default_factory=Spent)
    stats: WindowStats = field(default_factory=WindowStats)

    def join(self, other: Done) -> None:
        self.rows += other.rows
        self.errors += other.errors
        self.in_vain += other.in_vain
        self.first_error = self.first_error or other.first_error
        self.streams = max(self.streams, other.streams)
        self.seconds += other.seconds
        self.spent.add(other.spent)
        self.stats.add(other.stats)

    @classmethod
    def read(cls, account: Mapping[str, Any]) -> Done:
        """As `asdict` shows it."""
        spent, stats = Spent(**account["spent"]), WindowStats(**account["stats"])
        return cls(**{**account, "spent": spent, "stats": stats})

    def add(self, part: Part) -> None:
        self.rows += part.rows
        self.errors += sum(part.errors.values())
        self.in_vain += 0 if part.committed else part.rows
        self.first_error = self.first_error or part.first_error
        self.spent.add(part.spent)
        self.stats.add(part.stats)


def run_shards(
    prepared: Prepared,
    model: Model,
    shards: Iterable[tuple[Plan, Shard]],
    progress: Progress,
    stop: Stop,
    *,
    earlier: Done,
    journal: Journal | None = None,
) -> Done:
    """Run shards in this process until none is left.

    Args:
        prepared: the job.
        model: its model.
        shards: in whatever order.
        progress: who is told.
        stop: whether to begin another.
        earlier: what was committed before.
        journal: where a supervisor of this process sees what is in hand.

    Raises:
        StoreUnavailable: of a shard, the second time too.
        Interrupted: asked to stop; the shard in hand was committed, no other begun.
        TooManyErrors: the error rows passed the job's bound.
    """
    done = Done(streams=model.streams)
    bounds = share_memory(prepared.job.memory)
    for plan, shard in shards:
        if stop.asked:
            raise Interrupted(f"it was asked to stop by {stop.asked}")
        done.join(complete_shard(prepared, model, plan, shard, progress, bounds, journal=journal))
        if journal is not None:
            journal.count(asdict(done))
        judge(done, prepared.job, earlier)
    return done


def judge(done: Done, job: JobSpec, earlier: Done) -> None:
    """Stop a job that has come to too many error rows, with those that were committed before this run.

    Raises:
        TooManyErrors: their share, of JUDGED_ROWS or more, or their number is above the job's bound.
    """
    rows, errors = earlier.rows + done.rows, earlier.errors + done.errors
    is_many = job.max_errors is not None and errors > job.max_errors
    if is_many or (rows >= JUDGED_ROWS and errors > job.max_error_rate * rows):
        raise TooManyErrors(
            errors=errors,
            rows=rows,
            max_error_rate=job.max_error_rate,
            max_errors=job.max_errors,
            first=done.first_error,
        )


def complete_shard(
    prepared: Prepared,
    model: Model,
    plan: Plan,
    shard: Shard,
    progress: Progress,
    bounds: Bounds,
    *,
    journal: Journal | None = None,
    poison: Mapping[int, RowFault] | None = None,
    kept: Kept | None = None,
    again: Again | None = None,
    isolate_s: float = 0.0,
) -> Done:
    """See that a shard has its part; one that the store failed is tried a second time.

    On a machine of an array, one that another machine completes meanwhile is left. See run_shard for what it is given.

    Raises:
        StoreUnavailable: the second time too.
    """
    done = Done(streams=model.streams)
    if prepared.retry is None and prepared.target.head(part_key(prepared.record.fingerprint, shard)) is not None:
        progress.told("already committed", shard=shard.id)
        progress.advanced(shard.rows)
        return done
    started = time.perf_counter()

    def run() -> Part:
        return run_shard(
            prepared,
            model,
            plan,
            shard,
            progress,
            bounds,
            journal=journal,
            poison=poison,
            kept=kept,
            again=again,
            isolate_s=isolate_s,
        )

    try:
        try:
            part = run()
        except StoreUnavailable as error:
            # The store's own retries are used up. Whatever the first try put is this attempt's, so another is safe.
            progress.told("failed", shard=shard.id, reason=error.reason)
            part = run()
    except Overtaken as left:
        progress.told("already committed", shard=shard.id, rows=left.rows)
        progress.advanced(shard.rows - left.rows)
        done.rows = done.in_vain = left.rows
        done.seconds = isolate_s + time.perf_counter() - started
        return done
    done.add(part)
    keep_costs(model)
    progress.told(
        "committed" if part.committed else "already committed",
        **shard_facts(shard.id, part, seconds=time.perf_counter() - started),
    )
    progress.advanced(shard.rows - part.rows)  # what the filter left out
    done.seconds = isolate_s + time.perf_counter() - started
    return done


def run_shard(
    prepared: Prepared,
    model: Model,
    plan: Plan,
    shard: Shard,
    progress: Progress,
    bounds: Bounds,
    *,
    journal: Journal | None = None,
    poison: Mapping[int, RowFault] | None = None,
    kept: Kept | None = None,
    again: Again | None = None,
    isolate_s: float = 0.0,
) -> Part:
    """Carry one shard from stored rows to a committed part.

    Reading, encoding, the arithmetic and decoding each run in a thread of their own, a window ahead of the next step,
    and as many as the bounds say ahead of the arithmetic and of writing, which runs here. Rows on their way and answers
    that wait to be written are bounded in bytes too. The threads have ended when this returns or raises. Every name on
    the left is the next line's input.

    `tandem retry` carries a shard's error rows alone, and puts their answers into the part that is there.

    Args:
        prepared: the job.
        model: its model.
        plan: the shard's.
        shard: what to read.
        progress: who is told.
        bounds: what may be on its way at once.
        journal: where a supervisor sees what the model has in hand.
        poison: rows that the model is not shown: position -> the fault that they end with.
        kept: the answers of an attempt that died, from which this one goes on.
        again: under `tandem retry`, the rows that are run; None: those that are error rows of the part now.
        isolate_s: since the shard was first begun: attempts that died, and the search for the rows that they died of.
    """
    columns = prepared.columns
    if journal is not None:
        journal.begin(shard.id)
    key, again = part_key(prepared.record.fingerprint, shard), again or rows_again(prepared, plan, shard)
    blame = blame_of(model) if again is None else None  # rows that raised before are at fault if they raise again
    read, encode, arithmetic, decode = QueueTime(), QueueTime(), QueueTime(), QueueTime()
    with ExitStack() as threads:

        def ahead(items: Iterator[Item], name: str, stood: QueueTime, windows: int = 1) -> Iterator[Item]:
            return threads.enter_context(closing(overlap(items, ahead=windows, name=name, stood=stood)))

        flight = InFlight(bounds.flight_bytes, windows=bounds.flight_windows, small_bytes=bounds.small_bytes)
        answers = InFlight(bounds.answered_bytes)
        answered_before = 0 if kept is None else kept.rows
        rows = shard_rows(prepared, plan, shard, bounds, again=again)
        rows = skip_rows(rows, answered_before) if answered_before else rows
        admitted = ahead(flight.admit(time_reading(rows), lambda window: window[0]), "read", read)
        encoded = encode_rows(
            model,
            admitted,
            column=columns.encoded,
            bounds=bounds,
            journal=journal,
            poison=poison,
            first=answered_before,
            blame=blame,
        )
        answered = predict_batches(model, ahead(encoded, "encode", encode, bounds.depth), journal=journal, blame=blame)
        decoded = decode_rows(model, ahead(answered, "arithmetic", arithmetic), journal=journal, blame=blame)
        waiting = answers.admit(decoded, lambda window: window.predictions)
        predicted = ahead(waiting, "decode", decode, bounds.answered)
        for each in (flight, answers):
            threads.callback(each.close)  # before the threads are waited for
        path = threads.enter_context(open_scratch())
        started = time.perf_counter()
        windows = flight.release(answers.release(predicted))
        if kept is not None:
            windows = kept.keep(itertools.chain(kept.recall(), windows))
        if prepared.job.engine == "array":
            windows = leave_when_there(windows, prepared.target, key)
        part = write_part(
            counted(windows, progress, journal),
            shard,
            columns,
            plan.schema,
            key=key,
            path=path,
            lineage=lineage(prepared),
            group_bytes=bounds.group_bytes,
            microseconds=prepared.job.table == "delta",
            isolate_s=isolate_s,
        )
        written = time.perf_counter()
        if again is None:
            part = commit_part(prepared.target, part, attempt=prepared.attempt)
        else:
            part = replace_part(prepared.target, again, part, attempt=prepared.attempt)
        part.spent.write = written - started - decode.empty
        part.spent.commit = time.perf_counter() - written
        part.spent.encode_idle, part.spent.wait = read.empty, encode.empty
        part.spent.decode_idle, part.spent.write_idle = arithmetic.empty, decode.empty
        part.spent.read_held, part.spent.encode_held = read.full, encode.full
        part.spent.arithmetic_held, part.spent.decode_held = arithmetic.full, decode.full
        return part


def rows_again(prepared: Prepared, plan: Plan, shard: Shard, *, tried: pa.Table | None = None) -> Again | None:
    """Under `tandem retry`, the rows of a shard's part that are run again: its error rows now, or those `tried`."""
    if prepared.retry is None:
        return None
    key, is_beside = part_key(prepared.record.fingerprint, shard), prepared.job.table == "delta"
    if tried is not None:
        return Again(plan=plan, shard=shard, columns=prepared.columns, tried=tried, beside=is_beside)
    return find_again(prepared.target, key, plan, shard, prepared.columns, classes=prepared.retry, beside=is_beside)


def rows_answered(prepared: Prepared, plan: Plan, shard: Shard, place: int, *, besides: Collection[str] = ()) -> Again:
    """Of the rows of a shard that its part has answers for, the one after so many others, if there is one.

    Rows of the objects `besides` do not count.
    """
    target, is_beside = prepared.target, prepared.job.table == "delta"
    key = part_key(prepared.record.fingerprint, shard)

    def look() -> pa.Table:
        return read_answered_row(target, part_there(target, key, beside=is_beside), place, besides=besides)

    tried = look_again(look, url=target.url_of(key))
    return Again(plan=plan, shard=shard, columns=prepared.columns, tried=tried, beside=is_beside)


def shard_rows(
    prepared: Prepared, plan: Plan, shard: Shard, bounds: Bounds, *, again: Again | None
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard that go through the model: those that the filter lets in, or those that are run again."""
    window_rows = prepared.job.window_rows
    if again is not None:
        return read_again(prepared.source, again, window_rows=window_rows, bounds=bounds)
    return read_rows(prepared.source, shard, prepared.columns, plan.schema, window_rows=window_rows, bounds=bounds)


def counted(windows: Iterable[PredictedRows], progress: Progress, journal: Journal | None) -> Iterator[PredictedRows]:
    """Tell the progress, and the journal, of each window that passes."""
    rows = 0
    for window in windows:
        yield window
        rows += window.rows.num_rows
        if journal is not None:
            journal.leave(rows)
        progress.advanced(window.rows.num_rows)


def lineage(prepared: Prepared) -> dict[str, str]:
    """What every part says of where it came from."""
    model = prepared.record.model
    return {
        "fingerprint": prepared.record.fingerprint,
        "model": str(model["tag"]),
        "digest": str(model["digest"]),
        "variant": str(model["variant"]),
        "attempt": prepared.attempt,
    }
