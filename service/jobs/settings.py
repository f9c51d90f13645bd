"""What the operator may say of jobs over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.free_memory import free_memory
from service.jobs.processors import count_processors, has_quota
from service.setting import Setting, names, one_of, whole_number

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?(B?)", re.IGNORECASE)
UNITS = {"": 1.0} | {
    unit + i: (1024.0 if i else 1000.0) ** power for power, unit in enumerate("kmgt", 1) for i in ("", "i")
}


def size_bytes(text: str) -> float:
    """Bytes of a size as `tandem run --memory` takes it: 512MB, 1.5GB, 2GiB.

    Raises:
        ValueError: it is none.
    """
    found = SIZE.fullmatch(text.strip()) if len(text) <= 40 else None
    if not found or not (found[2] or found[3]) or not float(found[1]):
        raise ValueError("a size with its unit, such as 512MB, 1.5GB or 2GiB")
    return float(found[1]) * UNITS[(found[2] or "").lower()]


def read_size(text: str) -> str:
    size_bytes(text)
    return text


def default_memory(at_once: int) -> str:
    """What one of so many jobs may hold where nobody says it: together half of the machine, or of the container."""
    known = free_memory()
    return f"{known[1] // 2 // max(at_once, 1) // 1_000_000}MB" if known else ""


def default_threads(priority: str) -> int:
    """All processors where a job gives way on each of them; else one is left to requests, and of a quota too."""
    gives_way = priority == "idle" and not has_quota()
    return count_processors() if gives_way else max(count_processors() - 1, 1)


DIR = Setting[str](
    variable="TANDEM_JOBS_DIR", flag="--jobs-dir", read=str, default="", metavar="FOLDER",
    help="Where jobs are kept, on a local disk. Default: tandem/jobs in the user's state folder.",
)  # fmt: skip
AT_ONCE = Setting[int](
    variable="TANDEM_JOBS_AT_ONCE", flag="--jobs-at-once", read=whole_number(0, 64), default=1, metavar="N",
    help="Jobs that run at a time, the others wait in order; 0: none are taken.",
)  # fmt: skip
QUEUE = Setting[int](
    variable="TANDEM_JOBS_QUEUE", flag="--jobs-queue", read=whole_number(1, 100_000), default=100, metavar="N",
    help="Jobs that may wait.",
)  # fmt: skip
JOB_THREADS = Setting[int](
    variable="TANDEM_JOBS_THREADS", flag="--jobs-threads", read=whole_number(1, 1024), default=0, metavar="N",
    help="Threads of the arithmetic of one job. Default: as many as there are cores; one fewer with --jobs-priority "
    "equal, and of a container's quota of them.",
)  # fmt: skip
MEMORY = Setting[str](
    variable="TANDEM_JOBS_MEMORY", flag="--jobs-memory", read=read_size, default="", metavar="SIZE",
    help="What one job may hold in memory, such as 1.5GB. Default: half of the machine's, shared by those that "
    "may run at a time.",
)  # fmt: skip
ALLOW = Setting[tuple[str, ...]](
    variable="TANDEM_JOBS_ALLOW", flag="--jobs-allow", read=names, default=(), metavar="PREFIX,PREFIX",
    help="Places that jobs may read and write: s3://bucket/prefix/, s3:// or folders. Default: any where the server "
    "listens on this machine only and has no keys, else none.",
)  # fmt: skip
KEEP_DAYS = Setting[int](
    variable="TANDEM_JOBS_KEEP_DAYS", flag="--jobs-keep-days", read=whole_number(1, 3650), default=30, metavar="DAYS",
    help="Days after which a job that has ended is forgotten; its output stays.",
)  # fmt: skip
PRIORITY = Setting[str](
    variable="TANDEM_JOBS_PRIORITY", flag="--jobs-priority", read=one_of("idle", "equal"), default="idle",
    metavar="NAME", help="idle: jobs get the processor time that nobody else wants; equal: what requests get.",
)  # fmt: skip
JOBS = (DIR, AT_ONCE, QUEUE, JOB_THREADS, MEMORY, PRIORITY, ALLOW, KEEP_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsSettings:
    """How jobs are kept, and what share of the machine they get.

    Attributes:
        folder: what is kept of them; made when it is first needed.
        at_once: that run at a time; 0: none are taken.
        queue: that may wait.
        threads: of one job's arithmetic.
        priority: `idle`, or `equal`: see launch.py.
        memory: that one job may hold, as `--memory` takes it; empty where the machine does not say what it has.
        allow: places that callers may name; empty: see `places.allowed_places`.
        keep_s: seconds after which one that has ended is forgotten.
    """

    folder: Path
    at_once: int
    queue: int
    threads: int
    priority: str
    memory: str
    allow: tuple[str, ...]
    keep_s: float

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> JobsSettings:
        state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home()) / ".local" / "state"
        return cls(
            folder=Path(DIR.of(environ) or Path(state) / "tandem" / "jobs").expanduser().absolute(),
            at_once=AT_ONCE.of(environ),
            queue=QUEUE.of(environ),
            threads=JOB_THREADS.of(environ) or default_threads(PRIORITY.of(environ)),
            priority=PRIORITY.of(environ),
            memory=MEMORY.of(environ) or default_memory(AT_ONCE.of(environ)),
            allow=ALLOW.of(environ),
            keep_s=86400.0 * KEEP_DAYS.of(environ),
        )
