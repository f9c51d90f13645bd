"""Online: servers over one graph on one core, requests of natural lengths by a Poisson process, a goal of 500 ms."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from benchmarks.data import text_rows
from benchmarks.measure import Say
from benchmarks.online.ceiling import call_planned
from benchmarks.online.contestants import SLO_MS, STOCK, TANDEM, TANDEM_AUTO, contestants
from benchmarks.online.direct import call_direct
from benchmarks.online.goodput import MOST_REFUSED, Step, capacity, judge
from benchmarks.online.http import ask_once
from benchmarks.online.load import Load, drive
from benchmarks.online.side import Running, Side, serving
from benchmarks.peer_process import PeerFailed
from benchmarks.ratios import rotated
from benchmarks.results_file import Found, Result

TITLE = "The endpoint: MiniLM behind HTTP, one request a text, one core"
ROWS, LONE, BURST = 1200, 40, 200
#: Offered rates, as shares of what the model called directly would answer with every text alone.
LADDER, QUICK_LADDER = (0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.05, 1.2, 1.4, 1.6, 1.8, 2.1), (0.5, 0.8, 1.05, 1.3)
STEP_S, QUICK_STEP_S, OVERLOAD = 12.0, 6.0, 1.5
SERVER_CORES, CLIENT_CORES = (0,), (1,)
#: A side's ladder ends where the goal is broken and its goodput has fallen to so much of its best, or where the goal is
#: held by turning far too many away.
FALLEN = 0.8


@dataclass(slots=True, kw_only=True)
class Round:
    """What one side came to in one round."""

    steps: list[Step] = field(default_factory=list)
    best: Step | None = None
    overload: Step | None = None
    lone_ms: float = 0.0
    after_ms: float = 0.0
    direct_ms: float = 0.0
    memory_mb: float = 0.0
    cpu_ms: float = 0.0


def measure(rounds: int, quick: bool, say: Say) -> Result:
    texts = [str(text) for text in pq.read_table(text_rows("natural", ROWS).path).column("text").to_pylist()]
    taken: dict[str, list[Round]] = {}
    failed: dict[str, str] = {}
    ceilings: dict[str, list[dict[str, Any]]] = {TANDEM: [], TANDEM_AUTO: []}
    sides = contestants(quick=quick)
    for number in range(rounds):
        direct = call_direct(texts[:LONE])
        rate = 1 / statistics.mean(call_direct(texts[:200]))
        ceilings[TANDEM].append(call_planned(texts, "onnx"))
        ceilings[TANDEM_AUTO].append(call_planned(texts, "auto"))
        say(f"called directly: {rate:.1f} texts a second; planned: {[one[-1] for one in ceilings.values()]}")
        for side in rotated(sides, number):
            if side.name in failed:
                continue
            try:
                found = run_round(side, texts, rate, number, quick)
            except PeerFailed as error:
                failed[side.name] = str(error)
                say(f"{side.name}: did not run: {error}")
                continue
            found.direct_ms = statistics.median(direct) * 1000
            taken.setdefault(side.name, []).append(found)
            say(f"{side.name}: {found.best.goodput if found.best else 0:.1f}/s, lone {found.lone_ms:.1f} ms")
    result = report(taken, failed, sides, rounds, quick)
    about = "the arithmetic alone: every text at hand, the planner's micro-batches, no server; what no lane can exceed"
    rows = [
        [name, ", ".join(sorted({one["variant"] for one in runs})), f"{middle([one['texts_s'] for one in runs]):.1f}"]
        for name, runs in ceilings.items()
    ]
    result.lines.append({"title": about, "columns": ["side", "variant", "texts a second"], "rows": rows})
    return result


def run_round(side: Side, texts: Sequence[str], rate: float, number: int, quick: bool) -> Round:
    """One side through everything, in a server of its own.

    Raises:
        PeerFailed: it did not start.
    """
    found, bodies = Round(), [json.dumps(side.body(text)).encode() for text in texts]
    step_s = QUICK_STEP_S if quick else STEP_S
    with serving(side, SERVER_CORES) as running:

        def drove(load: Load) -> list[Any]:
            return drive(running.port, side.path, bodies, load, CLIENT_CORES)

        def lone_ms() -> float:
            # The first texts in their order, as the model is called with them directly.
            kept = drive(running.port, side.path, bodies[:LONE], Load(kind="lone", count=LONE), CLIENT_CORES)
            good = [one.seconds for one in kept if one.status == 200]
            if not good:
                raise PeerFailed(f"a lone client was answered {kept[0].status}")
            return statistics.median(good) * 1000

        drove(Load(kind="poisson", rate=0.3 * rate, seconds=6.0, seed=1000 + number))
        found.lone_ms = lone_ms()
        for share in QUICK_LADDER if quick else LADDER:
            before = running.cpu_s()
            answers = drove(Load(kind="poisson", rate=share * rate, seconds=step_s, seed=number))
            step = judge(answers, step_s)
            found.steps.append(step)
            best = capacity(found.steps)
            if best is step:
                found.cpu_ms = (running.cpu_s() - before) * 1000 / max(sum(one.status == 200 for one in answers), 1)
            if has_ended(found.steps):
                break
        found.best = capacity(found.steps)
        if found.best is not None:
            load = Load(kind="poisson", rate=OVERLOAD * found.best.goodput, seconds=step_s, seed=number + 500)
            found.overload = judge(drove(load), step_s)
        drove(Load(kind="burst", count=BURST, seed=number, timeout_s=20.0))
        time.sleep(1.0)
        found.after_ms = lone_ms()
        found.memory_mb = running.held_mb()
        check_ready(running)
    return found


def has_ended(steps: Sequence[Step]) -> bool:
    """Whether more load can bring no better step than those that there are."""
    *before, last = steps
    if last.holds:
        return last.refused + last.failed > 2 * MOST_REFUSED
    return last.goodput < FALLEN * max((step.goodput for step in before), default=0.0)


def check_ready(running: Running) -> None:
    """A side that no longer answers at the end has no numbers.

    Raises:
        PeerFailed: it does not.
    """
    body = json.dumps(running.side.body("Still there?")).encode()
    if (reply := ask_once(running.port, running.side.path, body, timeout_s=20)).status != 200:
        raise PeerFailed(f"after the load it answered {reply.status or 'nothing'}")


def middle(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def report(
    taken: dict[str, list[Round]], failed: dict[str, str], sides: Sequence[Side], rounds: int, quick: bool
) -> Result:
    """The table of the sides, every step, and what was to be reached."""
    lines: list[list[str]] = []
    steps: list[list[str]] = []
    for side in sides:
        if side.name not in taken:
            lines.append([side.name, side.settings, f"did not run: {failed.get(side.name, '')}", *[""] * 7])
            continue
        runs = taken[side.name]
        best = [run.best.goodput for run in runs if run.best]
        kept = [run.overload.goodput / run.best.goodput for run in runs if run.best and run.overload]
        p99 = [run.best.p99_ms for run in runs if run.best]
        lines.append(
            [
                side.name,
                side.settings,
                f"{middle(best):.1f} ({min(best, default=0):.1f} to {max(best, default=0):.1f})",
                f"{middle(p99):.0f}",
                f"{middle([run.best.refused + run.best.failed for run in runs if run.best]):.0%}",
                f"{middle(kept):.2f}",
                f"{middle([run.lone_ms - run.direct_ms for run in runs]):+.1f}",
                f"{middle([run.after_ms / run.lone_ms for run in runs]):.2f}",
                f"{middle([run.cpu_ms for run in runs]):.1f}",
                f"{middle([run.memory_mb for run in runs]):,.0f}",
            ]
        )
        for number, run in enumerate(runs, 1):
            for step in [*run.steps, *([run.overload] if run.overload else [])]:
                cells = [f"{step.offered:.1f}", f"{step.goodput:.1f}", f"{step.p99_ms:.0f}"]
                steps.append([side.name, str(number), *cells, f"{step.refused:.0%}", f"{step.failed:.0%}"])
    columns = ["side", "settings", f"goodput a second within {SLO_MS} ms, median (least to most)", "its p99 ms"]
    columns += [
        "turned away",
        "kept at 1.5x",
        "lone: ms over a direct call",
        "lone after a burst / before",
        "CPU ms a request",
        "MB",
    ]
    about = "one core for the server, one for the clients; goodput is the best of the ladder whose p99 holds the goal "
    about += f"and that turns at most {MOST_REFUSED:.0%} away; of none such, the best that holds it; of none, the best"
    tables = [
        {"title": about, "columns": columns, "rows": lines},
        {
            "title": "every round's ladder, and last 1.5 times its best",
            "columns": ["side", "round", "offered a second", "good a second", "p99 ms of answers", "refused", "failed"],
            "rows": steps,
        },
    ]
    result = Result(section="online", title=TITLE, rounds=rounds, quick=quick, lines=tables)
    result.found = judge_targets(taken)
    return result


def judge_targets(taken: dict[str, list[Round]]) -> list[Found]:
    """The rows of the issue's table that this section holds."""
    found: list[Found] = []
    best = {name: middle([run.best.goodput if run.best else 0.0 for run in runs]) for name, runs in taken.items()}
    for ours in (TANDEM, TANDEM_AUTO):
        if ours not in taken:
            continue
        peers = {name: value for name, value in best.items() if name not in (TANDEM, TANDEM_AUTO)}
        if stock := max((value for name, value in best.items() if name.startswith(STOCK)), default=0.0):
            found.append(
                Found(measure=f"{ours}: goodput against stock BentoML, its better", value=best[ours] / stock, bound=2)
            )
        if peers and max(peers.values()):
            name = max(peers, key=peers.__getitem__)
            share = best[ours] / peers[name]
            found.append(Found(measure=f"{ours}: goodput against the best peer, {name}", value=share, bound=1.3))
        runs = taken[ours]
        kept = [run.overload.goodput / run.best.goodput for run in runs if run.best and run.overload]
        over = [run.lone_ms - run.direct_ms for run in runs]
        after = [run.after_ms / run.lone_ms for run in runs]
        found += [
            Found(
                measure=f"{ours}: goodput at 1.5x capacity, share of that at capacity", value=middle(kept), bound=0.9
            ),
            Found(measure=f"{ours}: lone request, ms over a direct call", value=middle(over), bound=5, at_most=True),
            Found(
                measure=f"{ours}: lone 1 s after a burst, against before", value=middle(after), bound=1.1, at_most=True
            ),
        ]
    return found
