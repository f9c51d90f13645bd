"""RESULTS.md, assembled from the sections' JSON and the hand-written notes; no number on it comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.agreement import is_faithful, verdict
from benchmarks.measure import Taken
from benchmarks.planner import foresight, planning
from benchmarks.ratios import best_of, ratio, spread
from benchmarks.results_file import NOTES, RESULTS, Comparison, Found, Result, Target, load

PAGE = Path(__file__).parent / "RESULTS.md"
ORDER = (
    "text",
    "mixes",
    "classify",
    "images",
    "sequences",
    "ray",
    "null",
    "start",
    "scaling",
    "rows",
    "estimates",
    "online",
)
#: Sections whose jobs are long enough to be foreseen.
FORESEEN = ("text", "mixes")
HEAD = """# Side by side

Written by `make bench`; every number on this page was measured on the machine named with it, in one run of the
section's own command, and stands with all its rounds in `results/*.json`. A side that would not run is listed with its
reason.

How it is done: every side is a process of its own in an environment of its own, ready (libraries imported, settings
chosen, one job done) before the first round. In each round every side does the same job on the same rows once; each
round begins with another side. `job` is reading the Parquet, predicting, writing the predictions; `load` is loading the
model anew; of ours everything is one: `run_job` with reading, encoding, arithmetic, writing, commit **and** load. The
ratio `whole` is their load and job over ours; `loaded` gives them the load as a present. Both are ratios of medians; in
brackets the least and the largest ratio within one round. Over 1: ours is faster.

Planning is what the planner took of a processor's time, of what the model's calls took by the clock. Its looking for
cuts is bounded to half a percent of what the model is expected to take; besides, a window costs 0.2 ms, and up to 1 ms
for a thousand rows of many lengths. A model that takes less than 0.05 s of a whole job is not judged.
Only sequences and null were measured so; the other tables here count planning by the clock.
"""


def write_page(*, quick: bool) -> str:
    """Write the page; a quick run prints its own beside the full one and leaves that as it is."""
    suffix = ".quick.json" if quick else ".json"
    paths = [RESULTS / f"{name}{suffix}" for name in ORDER]
    results = [load(path) for path in paths if path.is_file()]
    absent = [name for name, path in zip(ORDER, paths, strict=True) if not path.is_file()]
    missing = f"\nNot measured yet: {', '.join(absent)}.\n" if absent else ""
    page = HEAD + missing + "\n" + summary(results) + "\n" + "\n".join(section(result) for result in results)
    target = PAGE.with_name("RESULTS.quick.md") if quick else PAGE
    target.write_text(page.rstrip() + "\n", encoding="utf-8")
    return target.name


def summary(results: list[Result]) -> str:
    """Every target in one table."""
    lines = [line for result in results for line in targets_of(result)]
    if not lines:
        return ""
    return "## What was to be reached\n\n" + table(["measure", "target", "found", ""], lines) + "\n"


def targets_of(result: Result) -> list[list[str]]:
    judged = [judge(c, target) for c in result.comparisons for target in c.targets]
    foreseen = [foresight(c, side) for c in result.comparisons if result.section in FORESEEN for side in c.sides]
    of_planner = filter(None, [*foreseen, planning(result)])
    return judged + [judge_found(found) for found in [*result.found, *of_planner]]


def judge(comparison: Comparison, target: Target) -> list[str]:
    """One line: what was asked, what was found, reached or not."""
    sides = {side.name: side for side in comparison.sides if side.seconds and not side.failed}
    bound = f"{target.at_least:g}x" + (f", aim {target.aim:g}x" if target.aim else "")
    theirs = {name: sides[name].whole() for name in target.theirs if name in sides}
    if target.ours not in sides or not theirs:
        gone = target.ours if target.ours not in sides else " and ".join(target.theirs)
        return [target.measure, bound, f"{gone} did not run", "not measured"]
    best = best_of(theirs)
    found = ratio(theirs[best], sides[target.ours].whole())
    loaded = ratio(sides[best].seconds, sides[target.ours].whole())
    said = f"{found.of_medians:.2f}x ({found.least:.2f} to {found.most:.2f}), loaded {loaded.of_medians:.2f}x"
    if len(target.theirs) > 1:
        said += f", against {best}"
    if not is_faithful(sides[target.ours].agreement, int8="int8" in target.ours):
        return [target.measure, bound, said, "**not reached**: the answers differ"]
    return [target.measure, bound, said, "reached" if found.of_medians >= target.at_least else "**not reached**"]


def judge_found(found: Found) -> list[str]:
    bound = f"at {'most' if found.at_most else 'least'} {found.bound:g}"
    return [found.measure, bound, f"{found.value:.3g}", "reached" if found.reached else "**not reached**"]


def section(result: Result) -> str:
    """One section: its command, its tables, its note."""
    host = result.host
    machine = f"{host['cpu']}, {host['cores']} cores ({', '.join(host['instructions'])}), {host['memory_gib']} GiB"
    run = f"`{result.command}`, {result.when}, {result.seconds:.0f} s; rounds: {result.rounds}"
    about = [f"## {result.title}", f"{run}; {machine}, Python {host['python']}, load before {host['load_before']}."]
    about += [compared(comparison) for comparison in result.comparisons]
    about += [f"### {item['title']}\n\n" + table(item["columns"], item["rows"]) for item in result.lines]
    if judged := targets_of(result):
        about.append(table(["measure", "target", "found", ""], judged))
    if versions := all_versions(result):
        about.append(f"Versions: {versions}.")
    note = NOTES / f"{result.section}.md"
    if note.is_file():
        about.append(note.read_text(encoding="utf-8").strip())
    return "\n\n".join(about) + "\n"


def compared(comparison: Comparison) -> str:
    """The table of one comparison, and what Tandem says of its own time."""
    rows = comparison.rows
    tokens = f", {rows['tokens_mean']} tokens on average" if "tokens_mean" in rows else ""
    head = f"{rows['rows']:,} rows ({rows['about']}{tokens}; digest `{rows['digest']}`)."
    ours = [side for side in comparison.sides if side.name.startswith("Tandem") and side.seconds and not side.failed]
    columns = ["side", "whole s, median (least to most)", "load s", "rows/s", "peak MB", "answers"]
    columns += [f"{side.name}: whole / loaded" for side in ours]
    lines = [side_line(side, ours, rows["rows"]) for side in comparison.sides]
    title = f"### {comparison.title}\n\n" if comparison.title else ""
    parts = [title + head, table(columns, lines)]
    if grids := [grid_line(side) for side in comparison.sides if side.settings.get("tried")]:
        parts.append("Best of the grid: " + "; ".join(grids) + ".")
    if accounts := [account(side) for side in ours if side.facts and "run" in side.facts[-1]]:
        parts.append(table(ACCOUNT, accounts))
    return "\n\n".join(parts)


def side_line(side: Taken, ours: list[Taken], rows: int) -> list[str]:
    if side.failed or not side.seconds:
        return [side.name, f"did not run: {side.failed}", "", "", "", "", *[""] * len(ours)]
    whole = spread(side.whole())
    line = [side.name, f"{whole.median:.2f} ({whole.least:.2f} to {whole.most:.2f})"]
    line += [f"{spread(side.load_s).median:.2f}" if any(side.load_s) else "in it"]
    line += [f"{rows / whole.median:,.0f}", f"{side.peak_mb:,.0f}", answers_of(side)]
    for our in ours:
        if our is side or len(our.seconds) != len(side.seconds):
            line.append("")
            continue
        found, loaded = ratio(side.whole(), our.whole()), ratio(side.seconds, our.whole())
        line.append(f"{found.of_medians:.2f} ({found.least:.2f} to {found.most:.2f}) / {loaded.of_medians:.2f}")
    return line


def answers_of(side: Taken) -> str:
    if side.reference:
        return "the reference"
    return verdict(side.agreement) if side.agreement else ""


def grid_line(side: Taken) -> str:
    settings = {name: side.settings[name] for name in ("batch_size", "streams", "threads") if name in side.settings}
    return f"{side.name}: " + ", ".join(f"{name} {value}" for name, value in settings.items())


ACCOUNT = ["Tandem's own account (last round)", "variant", "arithmetic s", "of the job", "predicted / measured s"]
ACCOUNT += ["micro-batches", "padding share"]


def account(side: Taken) -> list[str]:
    """Where a job's time went, as its manifest says."""
    facts = side.facts[-1]
    run: dict[str, Any] = facts["run"]
    forward = run.get("forward_s") or run["spent_s"].get("arithmetic")
    predicted = run.get("predicted_s")
    compared_s = f"{predicted:.2f} / {forward:.2f}" if predicted else "not predicted"
    share = f"{forward / run['seconds']:.0%}" if forward and run["seconds"] else ""
    padding = f"{run['padding_share']:.1%}" if run.get("padding_share") is not None else ""
    return [side.name, facts["variant"], f"{forward:.2f}", share, compared_s, str(run["micro_batches"]), padding]


def all_versions(result: Result) -> str:
    """Each package once, with its versions where environments differ."""
    found: dict[str, set[str]] = {}
    for comparison in result.comparisons:
        for side in comparison.sides:
            for package, version in side.versions.items():
                found.setdefault(package, set()).add(version)
    return ", ".join(f"{package} {' and '.join(sorted(found[package]))}" for package in sorted(found))


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows])
