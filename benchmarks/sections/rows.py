"""From ten thousand rows to a million: time and peak memory of whole jobs, each a cold process."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.cold import Cold, has_part, run_cold, tandem_command
from benchmarks.data import RowSet, numbered_rows
from benchmarks.measure import Say
from benchmarks.peer_process import PeerFailed
from benchmarks.pictures import fashion_rows
from benchmarks.results_file import Found, Result
from benchmarks.sections.null import NULL_MODEL

TITLE = "Ten thousand to a million rows: time and peak memory"
NULL_ROWS, QUICK_NULL_ROWS = (10_000, 100_000, 1_000_000), (10_000, 50_000)
CNN_ROWS, QUICK_CNN_ROWS = (10_000, 100_000, 1_000_000), (10_000,)
#: The same in every set: a job that reads larger row groups needs more memory, however many rows there are.
ROW_GROUP_ROWS = 10_000


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """The null model and the smallest CNN, each over rows of which no two are equal: ten minutes for five rounds."""
    result = Result(section="rows", title=TITLE, rounds=rounds, quick=quick)
    models = {
        "null model": (numbered_rows, QUICK_NULL_ROWS if quick else NULL_ROWS, NULL_MODEL, "id,text"),
        "fashion-resnet": (fashion_rows, QUICK_CNN_ROWS if quick else CNN_ROWS, "fashion-resnet", "id"),
    }
    for name, (make, counts, model, keep) in models.items():
        sets = [make(count, row_group_rows=ROW_GROUP_ROWS) for count in counts]
        lines, peaks = [], []
        for rows in sets:
            runs = [job(model, rows, keep) for _ in range(rounds)]
            seconds = statistics.median(run.seconds for run in runs)
            peak = statistics.median(run.peak_mb for run in runs)
            say(f"{name}, {rows.rows:,} rows: {seconds:.1f} s, {peak:.0f} MB")
            peaks.append(peak)
            spent = f"{seconds:.1f} ({min(r.seconds for r in runs):.1f} to {max(r.seconds for r in runs):.1f})"
            lines.append([f"{rows.rows:,}", f"`{rows.digest}`", str(len(runs)), spent, f"{rows.rows / seconds:,.0f}",
                          f"{peak:,.0f} ({max(r.peak_mb for r in runs):,.0f})"])  # fmt: skip
        columns = ["rows", "digest", "runs", "s, median (least to most)", "rows/s, start included"]
        columns.append("peak MB, median (most)")
        title = f"{name}: {sets[-1].about}; row groups of {ROW_GROUP_ROWS:,}"
        result.lines.append({"title": title, "columns": columns, "rows": lines})
        measure_name = f"{name}: peak memory at {counts[-1]:,} rows over that at {counts[0]:,} (medians of the runs)"
        result.found.append(Found(measure=measure_name, value=peaks[-1] / peaks[0], bound=1.1, at_most=True))
    return result


def job(model: str, rows: RowSet, keep: str) -> Cold:
    """One cold job into a fresh folder; a failure ends the section."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
        target = Path(scratch) / "out"
        flags = ["--model", model, "--input", str(rows.path), "--output", str(target), "--keep", keep]
        try:
            return run_cold(tandem_command("run", *flags), has_part(target))
        except PeerFailed as error:
            raise SystemExit(f"{model} over {rows.rows} rows: {error}") from None
