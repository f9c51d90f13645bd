"""Four mixes of lengths: ours against the best hand-written loop on the same runtime and precision."""

from __future__ import annotations

from benchmarks.data import MIXES, mean_tokens, text_rows
from benchmarks.measure import Say, run_rounds
from benchmarks.results_file import Comparison, Result, Target, describe_set
from benchmarks.sides import INT8_JOB, hand_loop, tandem

TITLE = "Mixes of lengths: against the best hand-written loop"
#: So many that a start is a small part of a job: 10 s and more in fp32 on two cores.
ROWS = {"natural": 3600, "equal": 2000, "one-long": 6400, "two-humps": 1000}
WARM_ROWS = 192
PAIRS = (("openvino", "fp32"), ("openvino", "int8"))


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Every mix with both sides of each pair; quick takes the natural mix and a quarter of the rows."""
    result = Result(section="mixes", title=TITLE, rounds=rounds, quick=quick)
    for mix, most in ROWS.items():
        if quick and mix != "natural":
            continue
        rows, warm = text_rows(mix, most // 16 if quick else most), text_rows(mix, WARM_ROWS)
        say(f"-- {mix}: {rows.rows} rows")
        sides, targets = [], []
        for runtime, precision in PAIRS:
            loop = hand_loop(runtime, precision, rows, quick=quick)
            job = {"runtime": runtime, "precision": precision, **(INT8_JOB if precision == "int8" else {})}
            ours = tandem(f"Tandem, {runtime} {precision}", "minilm", **job)
            sides += [loop, ours]
            measure_name = f"{mix}: {runtime} {precision} against the best loop"
            targets.append(Target(measure=measure_name, ours=ours.name, theirs=(loop.name,), at_least=0.97))
        taken = run_rounds(sides, rows, rounds=rounds, say=say, warm=warm)
        described = describe_set(rows, tokens_mean=round(mean_tokens(rows.path), 1))
        title = f"{mix}: {MIXES[mix][0]}"
        result.comparisons.append(Comparison(title=title, rows=described, sides=taken, targets=tuple(targets)))
    return result
