"""Profile: where a run's time went, how fast its arithmetic was, and what held it up, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batch.report import versions
from batch.worker import Done, Shape
from models.flops import Flops, flops_of
from models.spec import ModelSpec

#: Steps that share a thread stand still for one another; the slowest thread is what a run waits for.
#: While rows that hurt are isolated, nothing else of their shard goes on.
THREADS: Mapping[str, tuple[str, ...]] = {
    "isolate": ("isolate",),
    "read": ("read",),
    "encode": ("encode",),
    "arithmetic": ("arithmetic",),
    "decode": ("decode",),
    "write": ("write", "commit"),
}
#: Step -> what is the matter where its thread is the slowest, and what helps.
ADVICE: Mapping[str, str] = {
    "start": "starting and finishing, the comparison with the reference included: the job is short. More rows in one "
    "job, or fewer jobs, spread it.",
    "isolate": "isolating rows that hurt: the processes that they ended, and the search for them. Leave out the rows "
    "that tandem errors names (--where); where they hang, wait for less long (--stall-s).",
    "read": "reading: the arithmetic waits for rows. Run nearer to the bucket, leave out columns (--keep), or "
    "read with more processes (--workers).",
    "encode": "encoding: the arithmetic waits for rows to become arrays. More processes encode side by side "
    "(--workers).",
    "arithmetic": "the arithmetic, as it should be. Another variant may have less of it (tandem model optimize), "
    "in an output of its own.",
    "decode": "decoding: answers come faster than they are named. Keep fewer scores (--top-k), or decode with more "
    "processes (--workers).",
    "write": "writing: answers come faster than they are written. Keep fewer columns (--keep), or write with more "
    "processes (--workers).",
}


def describe_run(
    *,
    started: str,
    seconds: float,
    done: Done,
    shape: Shape,
    spec: ModelSpec,
    flops: Flops | None = None,
    matmul: Callable[[int], float | None] = lambda threads: None,
) -> dict[str, Any]:
    """What one run did: its rows only, not those that an earlier run had committed.

    Args:
        started: when, UTC.
        seconds: from its settings to its last commit.
        done: what its workers did, added up.
        shape: how it used the machine.
        spec: the model's.
        flops: of one piece, where they were counted.
        matmul: threads -> the rate of this host's matrix products in GFLOP/s, None where nobody measured it.
    """
    spent, stats = done.spent, done.stats
    unit = unit_of(spec)
    run: dict[str, Any] = {
        "started": started,
        "seconds": round(seconds, 3),
        "rows": done.rows,
        "rows_in_vain": done.in_vain,
        "rows_per_s": rate(done.rows, seconds),
        f"{unit}_per_s": rate(stats.real, seconds),
        "unit": unit,
        "workers": shape.workers,
        "threads": shape.threads,
        "streams": done.streams,
        "start_s": round(max(seconds - done.seconds / shape.workers, 0), 3),
        "spent_s": {name: round(getattr(spent, name), 3) for name in spent.__slots__},
        "micro_batches": stats.micro_batches,
        "mean_micro_batch": round(stats.rows / stats.micro_batches, 2) if stats.micro_batches else None,
        "padding_share": round(1 - stats.real / stats.padded, 4) if stats.padded else None,
        "repeated_rows": stats.repeated,
    }
    # What the planner says of itself; the calls of several streams are added up.
    run |= {name: round(getattr(stats, name), 4) for name in ("plan_s", "predicted_s", "forward_s")}
    run["bottleneck"] = find_bottleneck(run) if done.rows else None
    if flops is not None and spent.arithmetic > 0:
        work = flops_of(flops, pieces=stats.rows, padded=stats.padded, squared=stats.squared)
        reached = work / (spent.arithmetic / shape.workers) / 1e9
        possible = matmul(shape.workers * shape.threads)
        run["gflop_per_s"] = round(reached, 2)
        run["matmul_gflop_per_s"] = round(possible, 1) if possible else None
        run["arithmetic_share"] = round(reached / possible, 4) if possible else None
    return run | {"versions": versions()}


def unit_of(spec: ModelSpec) -> str:
    """What a piece's length counts: tokens of a text, steps of a sequence; an image is one."""
    if spec.inputs[0].kind == "image":
        return "images"
    return "tokens" if spec.family == "transformer" else "steps"


def rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 1) if seconds else None


def find_bottleneck(run: Mapping[str, Any]) -> str:
    """The thread that worked longest, or `start`: what a faster job would have to do faster."""
    busy = {thread: busy_seconds(run, steps) / run["workers"] for thread, steps in THREADS.items()}
    return max({"start": run["start_s"]} | busy, key=lambda name: ({"start": run["start_s"]} | busy)[name])


def busy_seconds(run: Mapping[str, Any], steps: tuple[str, ...]) -> float:
    return float(sum(run["spent_s"].get(step, 0.0) for step in steps))


def profile_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """The profile as plain text of at most 100 columns.

    Shares are of the time on the clock, of every worker: as the steps overlap, they do not add up to 100 %.
    """
    workers, spent, clock = run["workers"], run["spent_s"], run["seconds"] * run["workers"]
    yield (
        f"where the time went: {run['seconds']:.2f} s, {count(workers, 'worker')}, "
        f"{count(run['threads'], 'thread')} and {count(run['streams'], 'stream')} of arithmetic each"
    )
    yield f"  {'step':<12}{'worked':>11}{'share':>8}{'waited before':>16}{'held up behind':>17}"
    before = {step: spent[f"{step}_idle"] for step in ("encode", "decode", "write")} | {"arithmetic": spent["wait"]}
    behind = {step: spent[f"{step}_held"] for step in ("read", "encode", "arithmetic", "decode")}
    yield row("start, end", run["start_s"] * workers, clock)
    for step in (step for steps in THREADS.values() for step in steps if step != "isolate" or spent.get(step)):
        yield row(step, spent[step], clock, before.get(step), behind.get(step))
    yield from rate_lines(run)
    if run["bottleneck"]:
        yield from wrapped(f"What this run waited for is {ADVICE[run['bottleneck']]}")


def rate_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Micro-batches, rates, and the arithmetic beside what matrix products reach here."""
    padding = f", {100 * run['padding_share']:.1f} % padding" if run["padding_share"] is not None else ""
    repeated = f", {run['repeated_rows']:,} repeated pieces" if run["repeated_rows"] else ""
    yield f"  {run['micro_batches']:,} micro-batches of {run['mean_micro_batch'] or 0:.1f} rows{padding}{repeated}"
    if run.get("predicted_s"):
        streams = f" in {run['streams']} streams" if run["streams"] > 1 else ""
        yield f"  model calls of {run['forward_s']:.2f} s{streams}; the planner expected {run['predicted_s']:.2f} s"
        beside = run["spent_s"]["arithmetic"] - run["plan_s"] - run["forward_s"] / run["streams"]
        yield f"  of the arithmetic: {run['plan_s']:.2f} s planned, {max(beside, 0):.2f} s compared and padded rows"
    unit = run["unit"]
    beside = f", {run[f'{unit}_per_s']:,.0f} {unit}/s" if run[f"{unit}_per_s"] else ""
    yield f"  {run['rows_per_s'] or 0:,.1f} rows/s{beside}"
    if (possible := run.get("matmul_gflop_per_s")) is not None:
        yield (
            f"  {run['gflop_per_s']:,.1f} GFLOP/s of {possible:,.0f} that plain matrix products reach here "
            f"({100 * run['arithmetic_share']:.0f} %)"
        )
    elif "gflop_per_s" in run:
        yield f"  {run['gflop_per_s']:,.1f} GFLOP/s"
    else:
        yield "  the model's operations cannot be counted: it has no ONNX graph that runs on plain inputs"


def row(step: str, seconds: float, clock: float, before: float | None = None, behind: float | None = None) -> str:
    """One line of the table."""
    cells = ("" if waited is None else f"{waited:.2f} s" for waited in (before, behind))
    share = f"{100 * seconds / clock:.0f} %" if clock else ""
    return "  {:<12}{:>11}{:>8}{:>16}{:>17}".format(step, f"{seconds:.2f} s", share, *cells).rstrip()


def wrapped(text: str, width: int = 100) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
