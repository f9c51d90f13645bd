"""Many short rows against Ray Data with sentence-transformers, start and end of Ray's own processes included."""

from __future__ import annotations

from benchmarks.data import mean_tokens, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import INT8_JOB, ray_data, tandem

TITLE = "Many short rows: against Ray Data with sentence-transformers"
ROWS, QUICK_ROWS = 20_000, 1_000
FP32, INT8 = "Tandem, fp32", "Tandem, int8"
MOST_ROUNDS = 3  # a round of all sides takes minutes


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Ray Data in two shapes; of them the better counts. At most MOST_ROUNDS rounds, which the page says."""
    rows = text_rows("short", QUICK_ROWS if quick else ROWS)
    theirs = [ray_data(actors=1, threads=2), ray_data(actors=2, threads=1)]
    ours = [tandem(FP32, "minilm"), tandem(INT8, "minilm", **INT8_JOB)]
    rounds = min(rounds, MOST_ROUNDS)
    taken = run_rounds([*theirs, *ours], rows, rounds=rounds, say=say, warm=text_rows("short", 64))
    names = tuple(side.name for side in theirs)
    targets = (
        Target(measure="fp32 against Ray Data, start included", ours=FP32, theirs=names, at_least=4.0),
        Target(measure="int8 against Ray Data, start included", ours=INT8, theirs=names, at_least=4.0),
    )
    described = describe_set(rows, tokens_mean=round(mean_tokens(rows.path), 1))
    comparison = Comparison(title="", rows=described, sides=taken, targets=targets)
    return Result(section="ray", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison])
