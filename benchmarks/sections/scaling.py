"""Workers: two of one core against one, beside what two processes of plain matrix products gain in the same round."""

from __future__ import annotations

import statistics

from benchmarks.data import RowSet, split_rows, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.products import gain_of_two
from benchmarks.ratios import ratio
from benchmarks.results_file import Comparison, Found, Result, describe_set
from benchmarks.sides import tandem

TITLE = "Two one-core workers against one"
ROWS, QUICK_ROWS, FILES = 800, 128, 16


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The same rows in FILES files of a shard each; whole jobs, the start of the processes included."""
    rows: RowSet = split_rows(text_rows("natural", QUICK_ROWS if quick else ROWS), FILES)
    sides = [
        tandem(f"Tandem, {n} worker{'s' * (n > 1)} of one thread", "minilm", workers=n, threads=1, shard_mb=0.001)
        for n in (1, 2)
    ]
    gains: list[float] = []

    def between(number: int) -> None:
        gains.append(gain_of_two())
        say(f"matrix products: two processes gain {gains[-1]:.3f}x")

    one, two = run_rounds(sides, rows, rounds=rounds, say=say, between=between)
    result = Result(section="scaling", title=TITLE, rounds=rounds, quick=quick)
    result.comparisons.append(Comparison(title="", rows=describe_set(rows), sides=[one, two]))
    if one.seconds and len(one.seconds) == len(two.seconds):
        gained, plain = ratio(one.seconds, two.seconds), statistics.median(gains)
        of_plain = statistics.median(
            a / b / gain for a, b, gain in zip(one.seconds, two.seconds, gains, strict=False) if gain
        )
        columns = ["measure", "median", "least", "most"]
        lines = [
            [
                "two workers against one, whole job",
                *(f"{v:.3f}x" for v in (gained.of_medians, gained.least, gained.most)),
            ],
            ["two processes of matrix products", f"{plain:.3f}x", f"{min(gains):.3f}x", f"{max(gains):.3f}x"],
        ]
        result.lines.append({"title": "Gain of two over one", "columns": columns, "rows": lines})
        measure_name = "two one-core workers, share of what plain matrix products gain (median of rounds)"
        result.found.append(Found(measure=measure_name, value=of_plain, bound=0.95))
    return result
