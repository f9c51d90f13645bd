"""A section's result: what was run, on what, and every round's numbers, as JSON under benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.data import RowSet
from benchmarks.measure import Taken

RESULTS = Path(__file__).parent / "results"
NOTES = Path(__file__).parent / "notes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What must be reached: their time over ours, both with the model's load, in medians.

    Attributes:
        measure: as the issue words it.
        ours: the side that is ours.
        theirs: the sides it is measured against; of several the best counts.
        at_least: the bound.
        aim: what would be better still.
    """

    measure: str
    ours: str
    theirs: tuple[str, ...]
    at_least: float
    aim: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A target that a section judged itself, where it is no ratio of two sides' jobs."""

    measure: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def reached(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Sides over the same rows."""

    title: str
    rows: Mapping[str, Any]
    sides: list[Taken]
    targets: tuple[Target, ...] = ()


@dataclass(slots=True, kw_only=True)
class Result:
    """One section.

    Attributes:
        lines: free tables: a title, column names, rows.
    """

    section: str
    title: str
    rounds: int
    quick: bool
    comparisons: list[Comparison] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seconds: float = 0.0
    host: dict[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        return f"python -m benchmarks.run {self.section} --rounds {self.rounds}" + (" --quick" if self.quick else "")


def describe_host() -> dict[str, Any]:
    """The machine, without its name, and how busy it was with other work as the section began."""
    cpu, flags = platform.machine(), set[str]()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
        if line.startswith("flags"):
            flags = set(line.partition(":")[2].split())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "instructions": [name for name in known if name in flags],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def save(result: Result) -> Path:
    """Write a section; a quick one does not replace a full one's file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{result.section}{'.quick' if result.quick else ''}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return path


def load(path: Path) -> Result:
    """Read a section back."""
    content = json.loads(path.read_text())
    comparisons = [
        Comparison(
            title=item["title"],
            rows=item["rows"],
            sides=[Taken(**side) for side in item["sides"]],
            targets=tuple(Target(**{**t, "theirs": tuple(t["theirs"])}) for t in item["targets"]),
        )
        for item in content.pop("comparisons")
    ]
    found = [Found(**item) for item in content.pop("found")]
    return Result(comparisons=comparisons, found=found, **content)


def describe_set(rows: RowSet, **more: Any) -> dict[str, Any]:
    return {**rows.describe(), **more}
