"""Choose workers: how many processes, threads and streams are fastest here, tried on rows of the job, never guessed."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection

import pyarrow as pa

from batch.bounds import share_memory
from batch.choose.settle import variant_of
from batch.errors import Interrupted, JobError
from batch.overlap import overlap
from batch.predict import Spent, decode_rows, encode_rows, predict_batches
from batch.prepare import Prepared
from batch.progress import Progress
from batch.read import USUAL_ROWS, read_rows
from batch.shard import Plan, Shard
from batch.stop import Stop, leave_to_parent
from batch.worker import Shape
from batch.workers import Worker, load_here, portable, share_cores, start_process
from models.choose import device_of
from models.errors import ModelError
from models.host import recall, remember

#: Every candidate works for about so long, on the same rows.
TRIAL_S = 1.0
#: A job that one process does in less is not worth the trial of others.
WORTH_S = 30.0
#: One more process costs memory and a start: it has to be so much faster.
GAIN = 1.03
#: Rows that tell how many rows a trial takes.
PACE_ROWS = 32
#: A candidate that is not done by then is none.
PATIENCE_S = 120.0
#: So often, in seconds, it is seen during a trial whether the job was asked to stop.
STOP_S = 0.2
MOST_WORKERS = 16


def choose_workers(prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], progress: Progress, stop: Stop) -> Shape:
    """Settle `--workers`: a number is taken, `auto` is measured once for a variant on this host and then remembered.

    A trial takes about two seconds for each candidate, start included. One process is taken, and said to be, where
    there is one core or one shard, where the job is shorter than trials would be, or where no trial came to its end.

    Raises:
        Interrupted: asked to stop.
    """
    if prepared.job.workers != "auto":
        return share_cores(prepared.job, prepared.job.workers, len(todo))
    variant = variant_of(prepared.job, prepared.described)
    device = device_of(prepared.described, variant, prepared.job.device)
    candidates = list_candidates(prepared, len(todo), device)
    if len(candidates) == 1:
        why = "there is one shard" if len(todo) == 1 else "nothing else fits the cores, or it runs on a GPU"
        progress.told("workers", chosen=describe_shape(candidates[0]), reason=why)
        return candidates[0]
    key = f"{prepared.record.settings['variant'][:16]}-{device}-{prepared.job.window_rows}"
    known = known_paces(key)
    if not all(describe_shape(shape) in known for shape in candidates):
        known = try_candidates(prepared, todo, candidates, stop)
        if len(known) < len(candidates):
            short = "the job is too short for trials" if known else "no trial came to its end"
            progress.told("workers", chosen=describe_shape(candidates[0]), reason=short)
            return candidates[0]
        # One that failed may have lacked memory that another job held: it is tried again the next time.
        remember("workers", key, {name: pace for name, pace in known.items() if pace > 0})
    chosen = fastest(candidates, known)
    measured = "; ".join(f"{describe_shape(shape)}: {known[describe_shape(shape)]:,.0f} rows/s" for shape in candidates)
    progress.told("workers", chosen=describe_shape(chosen), measured=f"({measured})")
    return chosen


def list_candidates(prepared: Prepared, shards: int, device: str) -> list[Shape]:
    """What fits the cores, the default first: fewer processes of more threads, whose calls share them or do not."""
    job = prepared.job
    cores = len(os.sched_getaffinity(0))
    counts = [1]
    while device == "cpu" and counts[-1] * 2 <= min(cores, shards, MOST_WORKERS):
        counts.append(counts[-1] * 2)
    found: list[Shape] = []
    for workers in counts:
        shape = share_cores(job, workers, shards)
        if workers > 1 and workers * shape.threads > cores:
            continue
        found.append(shape)
        if prepared.record.model["runtime"] in ("onnx", "openvino") and shape.threads > 1 and device == "cpu":
            found.append(Shape(workers=shape.workers, threads=shape.threads, streams=1))
    return found


def fastest(candidates: Sequence[Shape], paces: Mapping[str, float]) -> Shape:
    """The one with the most rows a second; among near equals the fewest processes."""
    best = candidates[0]
    for shape in candidates[1:]:
        more = GAIN if shape.workers > best.workers else 1.0
        if paces[describe_shape(shape)] > more * paces[describe_shape(best)]:
            best = shape
    return best


def describe_shape(shape: Shape) -> str:
    """`2 processes of 1 thread`, `1 process of 4 threads, one call at once`."""
    processes = f"{shape.workers} process{'' if shape.workers == 1 else 'es'}"
    at_once = ", one call at once" if shape.streams == 1 and shape.threads > 1 else ""
    return f"{processes} of {shape.threads} thread{'' if shape.threads == 1 else 's'}{at_once}"


def known_paces(key: str) -> dict[str, float]:
    """Rows a second of candidates that were tried on this host before."""
    content = recall("workers", key)
    if not isinstance(content, dict):
        return {}
    return {name: float(pace) for name, pace in content.items() if isinstance(pace, int | float) and pace > 0}


def try_candidates(
    prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], candidates: Sequence[Shape], stop: Stop
) -> dict[str, float]:
    """Rows a second of each; only of the first where the job is too short, of none where that does not run."""
    rows = trial_rows(prepared, *todo[0])
    if rows is None:
        return {}
    paces: dict[str, float] = {}
    amount: tuple[int, int] | None = None
    for shape in candidates:
        amount, pace = try_shape(prepared, shape, rows, amount, stop)
        if pace == 0 and not paces:
            return {}
        paces[describe_shape(shape)] = pace
        if len(paces) == 1 and sum(shard.rows for _, shard in todo) < WORTH_S * pace:
            break
    return paces


def trial_rows(prepared: Prepared, plan: Plan, shard: Shard) -> pa.RecordBatch | None:
    """A window of a shard as large as those in its midst; None where no row passes the filter."""
    most = min(prepared.job.window_rows, USUAL_ROWS)
    windows = read_rows(prepared.source, shard, prepared.columns, plan.schema, window_rows=most, first_rows=most)
    return next(windows, None)


def try_shape(
    prepared: Prepared, shape: Shape, rows: pa.RecordBatch, amount: tuple[int, int] | None, stop: Stop
) -> tuple[tuple[int, int] | None, float]:
    """Let a candidate's processes answer the same rows at once.

    Args:
        prepared: the job.
        shape: the candidate.
        rows: a window of the job.
        amount: how many of the rows, and how often; None: as its first process is quick.
        stop: whether to go on.

    Returns:
        The amount, and rows a second of all processes; 0 where one of them failed.
    """
    jobs = portable(prepared, shape)
    names = [f"trial-{number}" for number in range(shape.workers)]
    workers = [start_process(answer_trial, (jobs, shape, rows), name=name) for name in names]
    deadline = time.monotonic() + PATIENCE_S
    try:
        paces = [hear(worker, deadline, stop) for worker in workers]
        if amount is None:
            wanted = max(min(paces) * TRIAL_S, PACE_ROWS)
            size = min(int(wanted), rows.num_rows)
            amount = size, max(1, round(wanted / size))
        for worker in workers:
            worker.pipe.send(amount)
        seconds = max(hear(worker, deadline, stop) for worker in workers)
        return amount, shape.workers * amount[0] * amount[1] / seconds
    except (EOFError, OSError):
        return amount, 0.0
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def hear(worker: Worker, deadline: float, stop: Stop) -> float:
    """The next number from a process.

    Raises:
        EOFError: it ended.
        TimeoutError: it says nothing.
        Interrupted: asked to stop.
    """
    while not worker.pipe.poll(max(min(deadline - time.monotonic(), STOP_S), 0)):
        if stop.asked:
            raise Interrupted(f"it was asked to stop by {stop.asked}")
        if time.monotonic() >= deadline:
            raise TimeoutError(worker.process.name)
    number: float = worker.pipe.recv()
    return number


def answer_trial(prepared: Prepared, shape: Shape, rows: pa.RecordBatch, pipe: Connection) -> None:
    """The body of a trial's process: says its pace, then the seconds that it takes for as much as it is told."""
    leave_to_parent()
    try:
        prepared, model = load_here(prepared, shape)

        def answer(windows: Iterator[tuple[pa.RecordBatch, Spent]]) -> float:
            """As a worker does: encoding in a thread of its own."""
            started = time.perf_counter()
            bounds = share_memory(prepared.job.memory)
            encoded = encode_rows(model, windows, column=prepared.columns.encoded, bounds=bounds)
            answered = predict_batches(model, overlap(encoded, ahead=2, name="encode"))
            for _ in decode_rows(model, overlap(answered, ahead=2, name="arithmetic")):
                pass
            return time.perf_counter() - started

        few = rows.slice(0, PACE_ROWS)
        seconds = min(answer(iter([(few, Spent())])) for _ in range(2))
        pipe.send(few.num_rows / seconds)
        size, times = pipe.recv()
        pipe.send(answer((rows.slice(0, size), Spent()) for _ in itertools.repeat(None, times)))
        pipe.recv()
    except (EOFError, OSError, JobError, ModelError):
        return  # the parent is gone, or hears from the job itself what is wrong
