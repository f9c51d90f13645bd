"""Ending: how a process ended, or why it has to, in the words of an error row."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

EndingKind = Literal["WorkerDied", "RowHung", "OutOfMemory", "DeviceFailed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of a process that did not end as it should.

    Attributes:
        kind: the class of the error row, where a row is to blame.
        reason: what it did: `ended with signal SIGSEGV`, `gave no answer within 120 s`.
        call: the number of the call that was too long, where one was.
    """

    kind: EndingKind
    reason: str
    call: int | None = None


def ending_of(exitcode: int | None) -> Ending:
    """The ending of a process that nobody ended on purpose."""
    if exitcode is not None and exitcode < 0:
        return Ending(kind="WorkerDied", reason=f"ended with signal {signal_name(-exitcode)}")
    return Ending(kind="WorkerDied", reason=f"ended with exit code {exitcode}")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)
