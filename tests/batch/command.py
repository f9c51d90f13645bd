"""The real `tandem` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.batch.places import WORD_COUNT, Place

ROOT = Path(__file__).parents[2]
LEVELS = ("INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line for the one who asked; whatever else is on stderr has to be a line of the log."""
        lines = [line for line in self.err.splitlines() if line]
        said = [line for line in lines if line.startswith("tandem: ")]
        logged = [line for line in lines if line[2:3] == line[5:6] == ":" and line[8:].split(" ")[1] in LEVELS]
        assert len(said) == 1, self.err
        assert len(lines) == len(logged) + 1, self.err
        return said[0].removeprefix("tandem: ")


def job(place: Place, *more: str, model: str = WORD_COUNT, source: str = "in/") -> tuple[str, ...]:
    places = ("--input", place.url + source, "--output", place.url + "out/")
    return ("run", "--model", model, *places, *more)


def assert_refused(end: Ended, code: int, *parts: str) -> None:
    assert end.code == code, end.err
    assert end.out == ""
    for part in parts:
        assert part in end.complaint


#: Runs a command of these words to its end.
Command = Callable[..., Ended]


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's, with changes; None takes a variable away."""
    merged = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def started(*arguments: str, **changes: str | None) -> Iterator[subprocess.Popen[str]]:
    """A `tandem` command under way; killed where it outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batch.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(changes),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], *, within_s: float = 60.0) -> Ended:
    out, err = process.communicate(timeout=within_s)
    return Ended(code=process.returncode, out=out, err=err)


def tandem(*arguments: str, within_s: float = 60.0, **changes: str | None) -> Ended:
    """Run a `tandem` command to its end."""
    with started(*arguments, **changes) as process:
        return ended(process, within_s=within_s)
