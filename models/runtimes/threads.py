"""How many threads a runtime's arithmetic takes, and how they are shared out among calls that run at once."""

from __future__ import annotations

import os


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set to a number, else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else len(os.sched_getaffinity(0))


def share_threads(threads: int | None, streams: int | None) -> tuple[int, int]:
    """The arithmetic threads of the process, and the calls that share them.

    Each call has a thread of its own unless the caller says otherwise: two calls of one thread answer more rows than
    one of two, for the smaller micro-batches stay in the cache and nobody waits for the slower half.
    """
    threads = threads or default_threads()
    return threads, min(streams or threads, threads)
