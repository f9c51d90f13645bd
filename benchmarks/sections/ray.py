"""Many short rows against Ray Data with sentence-transformers, start and end of Ray's own processes included."""

from __future__ import annotations

from benchmarks.data import mean_tokens, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import INT8_JOB, ray_data, tandem

TITLE = "Many short rows: against Ray Data with sentence-transformers"
ROWS, QUICK_ROWS = 20_000, 1_000
FP32, INT8 = "Tandem, fp32", "Tandem, int8"
TRIED_ROWS = 2_000  # of Ray Data's shapes, to find the better one


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Ray Data in two shapes on fewer rows first; the better one runs all rounds."""
    rows = text_rows("short", QUICK_ROWS if quick else ROWS)
    shapes = [ray_data(actors=1, threads=2), ray_data(actors=2, threads=1)]
    tried = run_rounds(shapes, text_rows("short", min(TRIED_ROWS, rows.rows)), rounds=1, say=say)
    seconds = {side.name: sum(side.whole()) for side in tried if side.seconds}
    theirs = [side for side in shapes if side.name == min(seconds, key=lambda name: seconds[name], default=side.name)]
    ours = [tandem(FP32, "minilm"), tandem(INT8, "minilm", **INT8_JOB)]
    taken = run_rounds([*theirs, *ours], rows, rounds=rounds, say=say, warm=text_rows("short", 64))
    names = tuple(side.name for side in theirs)
    targets = (
        Target(measure="fp32 against Ray Data, start included", ours=FP32, theirs=names, at_least=4.0),
        Target(measure="int8 against Ray Data, start included", ours=INT8, theirs=names, at_least=4.0),
    )
    described = describe_set(rows, tokens_mean=round(mean_tokens(rows.path), 1))
    comparison = Comparison(title="", rows=described, sides=taken, targets=targets)
    lines = [[side.name, f"{seconds[side.name]:.1f}" if side.name in seconds else side.failed] for side in tried]
    table = {"title": f"Ray Data's shapes over {TRIED_ROWS:,} rows", "columns": ["side", "s"], "rows": lines}
    return Result(section="ray", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison], lines=[table])
