"""Rounds in alternation: every side does the same job once a round, each round begins with another side."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.agreement import agreement, read_predictions
from benchmarks.data import RowSet
from benchmarks.peer_process import Entrant, PeerFailed, PeerProcess
from benchmarks.ratios import rotated

#: A pause after each job: threads that spin or flush do not run into the next side's time.
PAUSE_S = 0.3
Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Taken:
    """What was measured of one side.

    Attributes:
        name: as the tables show it.
        settings: what its script settled on.
        versions: of what it runs on.
        seconds: of each round: read, predict, write.
        load_s: of each round: the model's load, where the side says it apart.
        peak_mb: the highest of the rounds.
        facts: of the last round.
        agreement: its answers beside the reference's.
        reference: its own answers are what the others' are compared with.
        failed: why it has no numbers.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    facts: list[dict[str, Any]] = field(default_factory=list)
    agreement: dict[str, Any] = field(default_factory=dict)
    reference: bool = False
    failed: str = ""

    def whole(self) -> list[float]:
        """Seconds of each round, the load included."""
        return [load + job for load, job in zip(self.load_s, self.seconds, strict=True)]


def run_rounds(
    entrants: Sequence[Entrant],
    rows: RowSet,
    *,
    rounds: int,
    say: Say,
    warm: RowSet | None = None,
    between: Callable[[int], None] | None = None,
) -> list[Taken]:
    """Run all sides over the same rows.

    A side that fails is taken out and named; the others go on. The first side that answers is the reference of the
    others' answers.

    Args:
        entrants: the sides.
        rows: what everybody predicts.
        rounds: how often.
        say: is told what happens.
        warm: rows of the job that each side does once before the rounds; by default the very rows.
        between: is called with a round's number before it begins.
    """
    taken = {entrant.name: Taken(name=entrant.name) for entrant in entrants}
    scratch = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    try:
        with contextlib.ExitStack() as stack:
            running: dict[str, PeerProcess] = {}
            for number, entrant in enumerate(entrants):
                try:
                    side = stack.enter_context(PeerProcess(entrant, scratch=scratch))
                    side.go((warm or rows).path, scratch / f"warm-{number}")
                except PeerFailed as error:
                    taken[entrant.name].failed = str(error)
                    say(f"{entrant.name}: did not run: {error}")
                    continue
                running[entrant.name] = side
                taken[entrant.name].settings = shown(side.ready["settings"])
                taken[entrant.name].versions = side.ready["versions"]
                say(f"{entrant.name}: ready")
            for number in range(rounds):
                if between is not None:
                    between(number)
                for name in rotated(list(running), number):
                    take(running, taken[name], rows, scratch, say)
        compare(taken, scratch)
        return list(taken.values())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def take(running: dict[str, PeerProcess], taken: Taken, rows: RowSet, scratch: Path, say: Say) -> None:
    """One side's job of one round; its predictions stay until the answers are compared."""
    target = scratch / target_name(taken.name)
    remove(target)
    try:
        done = running[taken.name].go(rows.path, target)
    except PeerFailed as error:
        running.pop(taken.name)
        taken.failed = str(error)
        say(f"{taken.name}: failed: {error}")
        return
    if done["rows"] != rows.rows:
        running.pop(taken.name).end()
        taken.failed = f"answered {done['rows']} of {rows.rows} rows"
        return
    taken.seconds.append(done["seconds"])
    taken.load_s.append(done["load_s"])
    taken.peak_mb = max(taken.peak_mb, done["peak_mb"])
    taken.facts.append(done["facts"])
    say(f"{taken.name}: {done['load_s']:.2f} + {done['seconds']:.2f} s")
    time.sleep(PAUSE_S)


def compare(taken: dict[str, Taken], scratch: Path) -> None:
    """Each side's last answers beside those of the first side that answered."""
    answered = [name for name, side in taken.items() if side.seconds and not side.failed]
    if not answered:
        return
    reference = read_predictions(scratch / target_name(answered[0]))
    taken[answered[0]].reference = True
    for name in answered:
        taken[name].agreement = agreement(read_predictions(scratch / target_name(name)), reference)


def target_name(name: str) -> str:
    return "predictions-" + "".join(letter if letter.isalnum() else "-" for letter in name)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Without paths of this machine."""
    return {
        name: value
        for name, value in settings.items()
        if not (isinstance(value, str) and "/" in value) and name not in ("labels",)
    }
