"""Workers: two of one core against one, beside what two processes of plain matrix products gain in the same round.

And one process of two streams, which is what a job on two cores takes unless it is told otherwise.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

from benchmarks.data import split_rows, text_rows
from benchmarks.measure import Say, Taken, run_rounds
from benchmarks.products import gain_of_two
from benchmarks.results_file import Comparison, Found, Result, describe_set
from benchmarks.sides import tandem

TITLE = "Two one-core workers against one"
#: Some 30 s for one worker; so many files that the last of them hardly counts.
ROWS, FILES = 2400, 48
QUICK_ROWS, QUICK_FILES = 160, 8
MEASURE = "two one-core workers, share of what plain matrix products gain (median of rounds)"


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The same rows in files of a shard each. One worker, and one process of products, have the first core only."""
    result = Result(section="scaling", title=TITLE, rounds=rounds, quick=quick)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("scaling: expected at least two cores, found one")
    warm = split_rows(text_rows("natural", QUICK_ROWS), QUICK_FILES)
    rows = warm if quick else split_rows(text_rows("natural", ROWS), FILES)
    job = {"shard_mb": 0.001, "runtime": "openvino", "precision": "fp32"}
    sides = [
        tandem("Tandem, 1 worker of one thread on 1 core", "minilm", cores=1, workers=1, threads=1, **job),
        tandem("Tandem, 2 workers of one thread on 2 cores", "minilm", cores=2, workers=2, threads=1, **job),
        tandem("Tandem, 1 process of two streams on 2 cores", "minilm", cores=2, workers=1, threads=2, **job),
    ]
    gains: list[float] = []

    def between(number: int) -> None:
        gains.append(gain_of_two())
        say(f"matrix products: two processes gain {gains[-1]:.3f}x")

    one, two, streams = run_rounds(sides, rows, rounds=rounds, say=say, warm=warm, between=between)
    result.comparisons.append(Comparison(title="", rows=describe_set(rows), sides=[one, two, streams]))
    if one.seconds and len(one.seconds) == len(two.seconds) == len(streams.seconds):
        compare(result, one, two, streams, gains)
    return result


def compare(result: Result, one: Taken, two: Taken, streams: Taken, gains: Sequence[float]) -> None:
    """Whole jobs, which the target is about; and what is left of them without start and end, where one works alone.

    Streams are shown beside both and not judged: the target is about workers.
    """
    whole = [a / b for a, b in zip(one.seconds, two.seconds, strict=True)]
    apart = [a / b for a, b in zip(without_start(one), without_start(two), strict=True)]
    kinds = {
        "two workers against one, whole job": whole,
        "the same from the first shard to the last, the start and the end of the job left out": apart,
        "one process of two streams against one worker, whole job": [
            a / b for a, b in zip(one.seconds, streams.seconds, strict=True)
        ],
        "the same, start and end left out": [
            a / b for a, b in zip(without_start(one), without_start(streams), strict=True)
        ],
        "two processes of matrix products": gains,
    }
    lines = [
        [name, *(f"{value:.3f}x" for value in (statistics.median(found), min(found), max(found))),
         f"{share(found, gains):.3f}"]
        for name, found in kinds.items()
    ]  # fmt: skip
    for side in (one, two, streams):
        begun = [facts["run"]["start_s"] for facts in side.facts]
        spent = [f"{value:.2f} s" for value in (statistics.median(begun), min(begun), max(begun))]
        lines.append([f"{side.name}: start and end", *spent, ""])
    columns = ["measure", "median", "least", "most", "share of the products' gain, median of rounds"]
    result.lines.append({"title": "Gain of two over one", "columns": columns, "rows": lines})
    result.found.append(Found(measure=MEASURE, value=share(whole, gains), bound=0.95))
    result.found.append(Found(measure=f"{MEASURE}, start and end left out", value=share(apart, gains), bound=0.95))


def without_start(side: Taken) -> list[float]:
    """Seconds of each round from a worker's first shard to its last, of the workers on average."""
    return [facts["run"]["seconds"] - facts["run"]["start_s"] for facts in side.facts]


def share(found: Sequence[float], gains: Sequence[float]) -> float:
    """What was gained, of what products gained in the same round."""
    return statistics.median(a / b for a, b in zip(found, gains, strict=True))
