"""Estimates: what `tandem plan` says of twenty jobs, beside what they then take."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cold import TIMEOUT_S, run_cold, tandem_command
from benchmarks.foreseen_data import DATA_SETS, DataSet
from benchmarks.measure import Say
from benchmarks.peer_process import ROOT, PeerFailed, environment, without_folders
from benchmarks.results_file import Found, Result
from models.host import measurements

TITLE = "Estimates: what a plan says, beside what the job takes"
QUICK_SETS = 5
#: How many of the twenty must hold the truth, and how wide they may be, half of it as a share of the value.
LEAST_HELD, MOST_WIDTH = 18, 0.3
#: What is estimated, and how it is shown: its name, a factor, a unit.
SHOWN = {"seconds": ("time", 1.0, "s"), "output_bytes": ("output", 1e6, "MB"), "memory_bytes": ("memory", 1e6, "MB")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One job.

    Attributes:
        estimate: as `tandem plan --json` gave it.
        truth: of the run after it: what is estimated -> what it was.
    """

    estimate: Mapping[str, Any]
    truth: Mapping[str, float]

    def held(self, what: str) -> bool:
        return bool(self.estimate[what]["low"] <= self.truth[what] <= self.estimate[what]["high"])

    def width(self, what: str) -> float:
        found = self.estimate[what]
        return float((found["high"] - found["low"]) / 2 / found["value"])


def measure(rounds: int, quick: bool, say: Say) -> Result:
    """Each plan and each run in a process of its own, one after the other; every run into a folder of its own.

    The host begins without experience of estimates, and learns from each run for the next ones, as any host does.
    """
    measurements("estimates", "seconds").unlink(missing_ok=True)
    data_sets = DATA_SETS[:: len(DATA_SETS) // QUICK_SETS] if quick else DATA_SETS
    found: dict[str, list[Once]] = {one.name: [] for one in data_sets}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as scratch:
        for number in range(rounds):
            for one in data_sets:
                if one.name in failed:
                    continue
                try:
                    once = foresee(one, Path(scratch) / f"{one.name}-{number}")
                except PeerFailed as error:
                    failed[one.name] = str(error)
                    say(f"{one.name}: failed: {error}")
                    continue
                found[one.name].append(once)
                say(f"{one.name}: {line_of(once, 'seconds')[0]}; took {once.truth['seconds']:.1f} s")
    return report(data_sets, found, failed, rounds, quick)


def foresee(data: DataSet, output: Path) -> Once:
    """Plan one job, and run it.

    Raises:
        PeerFailed: one of the two failed.
    """
    flags = [word for name, value in data.job.items() for word in (f"--{name}", value)]
    words = ["--model", data.model, "--input", str(data.folder()), "--output", str(output), *flags]
    planned = subprocess.run(
        tandem_command("plan", *words, "--json"),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if planned.returncode:
        raise PeerFailed(
            without_folders((planned.stderr.strip().splitlines() or ["it ended without a word"])[-1])[:240]
        )
    manifest = output / "_tandem" / "manifest.json"
    cold = run_cold(tandem_command("run", *words), manifest.is_file)
    told = json.loads(manifest.read_text())
    truth = {
        "seconds": told["run"]["seconds"],
        "rows": told["rows"],
        "output_bytes": sum(part["size_bytes"] for part in told["parts"]),
        "memory_bytes": cold.peak_mb * 1e6,
    }
    return Once(estimate=json.loads(planned.stdout)["estimate"], truth=truth)


def report(
    data_sets: Sequence[DataSet], found: Mapping[str, list[Once]], failed: Mapping[str, str], rounds: int, quick: bool
) -> Result:
    """A line a data set, and the two targets."""
    every = [once for several in found.values() for once in several]
    lines = []
    for data in data_sets:
        if data.name in failed or not found[data.name]:
            lines.append([data.about, data.model, f"did not run: {failed.get(data.name, '')}", "", "", "", ""])
            continue
        last = found[data.name][-1]
        held = sum(once.held("seconds") for once in found[data.name])
        said, took = line_of(last, "seconds")
        others = ["; ".join(line_of(last, what)) for what in ("output_bytes", "memory_bytes")]
        cost = f"{last.estimate['sample']['seconds']:.1f}"
        lines.append([data.about, data.model, said, took, f"{held} of {len(found[data.name])}", *others, cost])
    columns = ["rows", "model", "time, planned", "taken", "held", "output, planned; written", "memory, planned; held"]
    columns.append("the estimate took, s")
    result = Result(section="estimates", title=TITLE, rounds=rounds, quick=quick)
    result.lines.append({"title": "The last round", "columns": columns, "rows": lines})
    if every and len(every) == rounds * len(data_sets):
        held_of_20 = 20 * sum(once.held("seconds") for once in every) / len(every)
        width = statistics.median(once.width("seconds") for once in every)
        result.found += [
            Found(measure="time: the truth within the interval, times of twenty", value=held_of_20, bound=LEAST_HELD),
            Found(
                measure="time: half the width of the interval, median, as a share",
                value=width,
                bound=MOST_WIDTH,
                at_most=True,
            ),
        ]
    off = [once.truth["seconds"] / once.estimate["seconds"]["value"] for once in every]
    others = {what: sum(once.held(what) for once in every) for what in SHOWN if what != "seconds"}
    told = [[SHOWN[what][0], f"{held} of {len(every)}"] for what, held in others.items()]
    if off:
        spread_of = f"{min(off):.2f}, {statistics.median(off):.2f}, {max(off):.2f}"
        told.append(["time taken over time planned: least, median, most", spread_of])
    result.lines.append({"title": "Besides", "columns": ["what", "found"], "rows": told})
    return result


def line_of(once: Once, what: str) -> tuple[str, str]:
    """What was planned, and what came of it."""
    _, factor, unit = SHOWN[what]
    value, low, high = (once.estimate[what][name] / factor for name in ("value", "low", "high"))
    return f"{value:.1f} {unit} ({low:.1f} to {high:.1f})", f"{once.truth[what] / factor:.1f} {unit}"
