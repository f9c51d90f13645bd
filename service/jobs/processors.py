"""Processors: how many this process may use, a container's share of its machine's among the bounds."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def count_processors(cgroup: Path = CGROUP) -> int:
    """At least one."""
    return max(1, min(len(os.sched_getaffinity(0)), int(quota_of(cgroup))))


def has_quota(cgroup: Path = CGROUP) -> bool:
    """Whether this process may use less than the processors that it sees.

    Who then uses the quota up, on processors that nobody else wants, has the kernel halt the endpoint along with it,
    however readily he gives way.
    """
    return quota_of(cgroup) < len(os.sched_getaffinity(0))


def quota_of(cgroup: Path) -> float:
    """Processors by the quota of a cgroup, of version 2 or 1; more than any machine has where there is none."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (cgroup / "cpu.max").read_text().split()
        return int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            return quota / int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
    return 1e6
