"""Bytes in and out: a model that answers a constant, against a plain pyarrow read and write of the same columns."""

from __future__ import annotations

from benchmarks.data import numbered_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.peer_process import Entrant
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import tandem

TITLE = "Bytes in and out: the null model against plain pyarrow"
ROWS, QUICK_ROWS = 400_000, 50_000
NULL_MODEL = "benchmarks.null_model:NullModel"


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Both read id and text and write them with the prediction columns, zstd."""
    rows = numbered_rows(QUICK_ROWS if quick else ROWS)
    plain = Entrant(name="plain pyarrow", module="plain_copy", environment="tandem")
    ours = tandem("Tandem, null model", NULL_MODEL, keep=["id", "text"])
    taken = run_rounds([plain, ours], rows, rounds=rounds, say=say)
    measure_name = "null model against plain pyarrow read and write"
    target = Target(measure=measure_name, ours=ours.name, theirs=(plain.name,), at_least=0.8)
    comparison = Comparison(title="", rows=describe_set(rows), sides=taken, targets=(target,))
    return Result(section="null", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison])
