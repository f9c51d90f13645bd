"""Start: cold processes, from the command line to the first answers on disk."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.agreement import agreement, read_predictions, verdict
from benchmarks.cold import Cold, has_part, run_cold, tandem_command
from benchmarks.data import RowSet, text_rows
from benchmarks.environments import missing, python_of
from benchmarks.measure import Say
from benchmarks.peer_process import PeerFailed
from benchmarks.ratios import ratio, rotated, spread
from benchmarks.results_file import Found, Result
from benchmarks.sides import model_folder

TITLE = "Start: from the command line to the first answers"
ROWS = 16
PIPELINE, ENCODE = "script with transformers' pipeline", "script with sentence-transformers"
FP32, INT8 = "tandem run, fp32", "tandem run, int8"


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Every side is a new process each time; the files are in the page cache, as the first round leaves them."""
    rows = text_rows("natural", ROWS)
    taken: dict[str, list[Cold]] = {name: [] for name in (PIPELINE, *(() if quick else (ENCODE,)), FP32, INT8)}
    failed: dict[str, str] = {}
    answers: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
        for number in range(rounds + 1):
            for name in rotated([name for name in taken if name not in failed], number):
                target = Path(scratch) / f"{list(taken).index(name)}-{number}"
                try:
                    once = start(name, rows, target)
                except PeerFailed as error:
                    failed[name] = str(error)
                    say(f"{name}: failed: {error}")
                    continue
                if number:  # the round before the first reads the files from the disk
                    taken[name].append(once)
                    say(f"{name}: {once.first_s:.2f} s")
        answered = [name for name in taken if taken[name]]
        last = {name: Path(scratch) / f"{list(taken).index(name)}-{rounds}" for name in answered}
        if answered:
            reference = read_predictions(last[answered[0]])
            answers = {name: verdict(agreement(read_predictions(last[name]), reference)) for name in answered}
            answers |= {name: f"{answers[name]}; {variant_in(last[name])}" for name in answered if name in (FP32, INT8)}
    return report(taken, failed, answers, rows, rounds, quick)


def start(name: str, rows: RowSet, target: Path) -> Cold:
    """One side, once.

    Raises:
        PeerFailed: it did not answer.
    """
    if name in (FP32, INT8):
        flags = ["--precision", "int8"] if name == INT8 else []
        command = ["run", "--model", "minilm", "--input", str(rows.path), "--output", str(target), *flags]
        return run_cold(tandem_command(*command), has_part(target))
    if reason := missing("peers"):
        raise PeerFailed(reason)
    kind = "pipeline" if name == PIPELINE else "encode"
    command = [str(python_of("peers")), "-m", "benchmarks.peers.first_answers", kind, str(model_folder("minilm"))]
    return run_cold([*command, str(rows.path), str(target)], target.is_file)


def variant_in(target: Path) -> str:
    """The variant that a job took."""
    return str(json.loads((target / "_tandem" / "manifest.json").read_text())["model"]["variant"])


def report(
    taken: dict[str, list[Cold]],
    failed: dict[str, str],
    answers: dict[str, str],
    rows: RowSet,
    rounds: int,
    quick: bool,
) -> Result:
    """A line each, and the target against the pipeline's script."""
    lines, found = [], []
    for name, runs in taken.items():
        if not runs:
            lines.append([name, f"did not run: {failed.get(name, '')}", "", "", "", ""])
            continue
        first = spread([run.first_s for run in runs])
        against = "reference"
        if name != PIPELINE and len(taken[PIPELINE]) == len(runs):
            share = ratio([run.first_s for run in runs], [run.first_s for run in taken[PIPELINE]]).of_medians
            against = f"{share:.2f}x its time"
            if name == FP32:
                measure_name = "cold start of an fp32 job against transformers' pipeline script, share of its time"
                found.append(Found(measure=measure_name, value=share, bound=0.3, at_most=True))
        end = spread([run.seconds for run in runs])
        times = [f"{first.median:.2f} ({first.least:.2f} to {first.most:.2f})", f"{end.median:.2f}"]
        lines.append([name, *times, f"{max(run.peak_mb for run in runs):,.0f}", against, answers.get(name, "")])
    columns = [
        "side",
        "first answers s, median (least to most)",
        "ended s",
        "peak MB",
        "against the pipeline",
        "answers",
    ]
    table = {"title": f"{rows.rows} rows (digest `{rows.digest}`)", "columns": columns, "rows": lines}
    return Result(section="start", title=TITLE, rounds=rounds, quick=quick, lines=[table], found=found)
