"""Sequence classification: the BiLSTM over spoken vowels, against hand-written loops on torch and ONNX Runtime."""

from __future__ import annotations

from benchmarks.measure import Say, run_rounds
from benchmarks.peer_process import Entrant
from benchmarks.pictures import vowel_rows
from benchmarks.results_file import Comparison, Result, describe_set
from benchmarks.sides import model_folder, tandem

TITLE = "Sequence classification: a BiLSTM on spoken vowels"
COPIES, QUICK_COPIES = 60, 4


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The loops at the best batch size and thread count of their grids."""
    rows = vowel_rows(QUICK_COPIES if quick else COPIES)
    folder = str(model_folder("vowels-bilstm"))
    loops = [
        Entrant(
            name=f"hand loop, {runtime} fp32",
            module="sequence_loop",
            environment="peers",
            settings={"model": folder, "runtime": runtime, "grid_input": str(rows.path)},
        )
        for runtime in ("torch", "onnx")
    ]
    ours = tandem("Tandem, fp32", "vowels-bilstm", column={"sequence": "steps"})
    taken = run_rounds([*loops, ours], rows, rounds=rounds, say=say, warm=vowel_rows(QUICK_COPIES))
    comparison = Comparison(title="", rows=describe_set(rows), sides=taken)
    return Result(section="sequences", title=TITLE, rounds=rounds, quick=quick, comparisons=[comparison])
