"""Ran: what became of a job that was submitted, and the exit code that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: Of several machines' exit codes the one to show: what somebody must change comes before what another try cures.
_CHANGE_FIRST = (77, 2, 3, 4)
#: What AWS says where a container could not even be started; another try would end likewise.
_NEVER_STARTED = ("CannotPullContainer", "CannotStartContainer", "ResourceInitializationError", "InvalidImageName")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A machine that failed: which one, its exit code where there was one, and what the scheduler says of it."""

    machine: str
    exit_code: int | None
    reason: str = ""

    @property
    def job_code(self) -> int:
        """The job's exit code that this is worth: a machine that was lost is worth the same command again."""
        if self.exit_code in _CHANGE_FIRST:
            return self.exit_code
        return 2 if self.exit_code is None and self.reason.startswith(_NEVER_STARTED) else 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Where a submitted job stands, as the scheduler tells it.

    Attributes:
        id: by which `tandem status` finds it.
        states: the scheduler's own word for a state -> machines in it.
        is_over: whether no machine will do anything more.
        any_done: whether one ended with exit code 0, which it does only when every part is there.
    """

    id: str
    name: str
    output: str | None
    states: Mapping[str, int]
    is_over: bool
    any_done: bool
    failed: Sequence[Failed] = field(default_factory=tuple)

    def exit_code(self, finished: bool | None) -> int:
        """0 while it is at work; then the job's own.

        Args:
            finished: whether the output is, None where it cannot be looked at.
        """
        if not self.is_over:
            return 0
        if self.any_done:
            return 75 if finished is False else 0
        codes = {failed.job_code for failed in self.failed}
        return next((code for code in _CHANGE_FIRST if code in codes), 75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What `tandem submit` did: the id, and whether it was there already and at work."""

    id: str
    name: str
    was_there: bool = False
