"""Watch: whether a process still answers, and keeps within its memory, seen from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from batch.supervise.ending import Ending
from batch.supervise.journal import Journal
from models.free_memory import free_memory

if TYPE_CHECKING:  # the guardian stays small
    from batch.spec import JobSpec

#: A call may take so many times what it was expected to.
PATIENCE = 20.0
#: Where kernels are compiled, calls may be silent for so many times as long.
COMPILING = 5
#: A probe of several rows convicts nobody, so it need not be waited for as long: whoever is only slow passes alone.
PROBE_S = 10.0
#: Between two looks no more time than this counts: a supervisor that was stopped, or whose machine was, saw nothing.
MOST_UNSEEN_S = 1.0
#: Memory left, and at all, where the kernel does not say.
UNKNOWN = 1 << 62, 1 << 62
#: A process that passes its bound by so much is ended: its share, or at least so many bytes.
SLACK, SLACK_BYTES = 0.05, 32 << 20
#: Without a bound: when the machine has no more than so much left, its share of all memory or so many bytes, whichever
#: is less, a process that took GROWN_BYTES of it since there was twice as much is ended.
FLOOR, FLOOR_BYTES, GROWN_BYTES = 0.05, 256 << 20, 64 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


def patience_of(job: JobSpec) -> float:
    """For how long a call of this job may be silent: its first calls may compile kernels."""
    return job.stall_s * (COMPILING if job.compile or job.device == "tensorrt" else 1)


class Awake:
    """Seconds in which this process and its machine were not stopped."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._seen = time.monotonic()

    def look(self) -> float:
        """The seconds until now."""
        now = time.monotonic()
        self.seconds += min(now - self._seen, MOST_UNSEEN_S)
        self._seen = now
        return self.seconds


class Watch:
    """Looks at one process again and again.

    Args:
        pid: the process.
        journal: where it notes its calls.
        stall_s: for how long a call may be silent; None: as the journal says.
        bound_bytes: what it may hold; None: as the journal says, if it does.
    """

    def __init__(
        self, pid: int, journal: Journal, *, stall_s: float | None = None, bound_bytes: int | None = None
    ) -> None:
        self._pid, self._journal = pid, journal
        self._stall_s, self._bound_bytes = stall_s, bound_bytes
        self._since: dict[int, float] = {}
        self._calm_bytes: int | None = None

    def look(self, awake_s: float, *, stall_s: float | None = None) -> Ending | None:
        """Why the process has to be ended; None where it has not.

        Args:
            awake_s: what the supervisor's clock shows.
            stall_s: a shorter wait than usual.
        """
        return self._find_stalled(awake_s, stall_s) or self._find_grown()

    def _find_stalled(self, awake_s: float, stall_s: float | None) -> Ending | None:
        most_s = self._stall_s or self._journal.stall_s
        if not most_s:
            return None
        most_s = min(most_s, stall_s or most_s)
        calls = self._journal.calls
        self._since = {call.number: self._since.get(call.number, awake_s) for call in calls}
        for call in calls:
            allowed_s = max(most_s, PATIENCE * call.expected_s)
            if awake_s - self._since[call.number] > allowed_s:
                return Ending(kind="RowHung", reason=f"gave no answer within {allowed_s:.0f} s", call=call.number)
        return None

    def _find_grown(self) -> Ending | None:
        held = resident_bytes(self._pid)
        bound = self._bound_bytes or self._journal.bound_bytes
        if bound is not None and held > bound + max(int(SLACK * bound), SLACK_BYTES):
            return Ending(
                kind="OutOfMemory", reason=f"held {held / 1e6:.0f} MB, more than its bound of {bound / 1e6:.0f} MB"
            )
        left, total = free_memory() or UNKNOWN
        floor = min(int(FLOOR * total), FLOOR_BYTES)
        if self._calm_bytes is None or left > 2 * floor:
            self._calm_bytes = held
        if left < floor and held - self._calm_bytes > GROWN_BYTES:
            return Ending(
                kind="OutOfMemory", reason=f"held {held / 1e6:.0f} MB, when the machine had {left / 1e6:.0f} MB left"
            )
        return None


def resident_bytes(pid: int) -> int:
    """What a process holds in memory; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
