"""Guardian: a small parent in front of `tandem run`, so that a row that ends the job's process does not end the job.

It forks before anything heavy is imported. The child runs the job as ever, in one process, and notes what it has in
hand in memory that both have. Where the child dies, hangs or passes its memory bound, another child goes on under
supervision: with a worker process for the arithmetic, in which the rows at fault are found (see `lead`).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from batch.observe.log_lines import Form, error_line, set_up_logging
from batch.progress import Progress
from batch.stop import asking
from batch.supervise.ending import Ending, ending_of
from batch.supervise.journal import SIZE_BYTES, Call, Journal
from batch.supervise.watch import Awake, Watch, patience_of
from models.errors import DeviceFailed

if TYPE_CHECKING:  # it stays small
    from batch.spec import JobSpec

#: Children that one command starts at most.
MOST_STARTS = 3
#: Between two looks at the child.
TICK_S = 0.05
#: <sys/prctl.h>: be sent a signal when the parent ends. <asm-generic/siginfo.h>: sent by the kernel, as by a terminal.
_PR_SET_PDEATHSIG, _SI_KERNEL = 1, 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How the child before this one ended, and what it had in hand.

    Attributes:
        ending: of its process.
        shard: the one in hand; empty where none was begun.
        calls: that had not come back.
        flight: the shard's rows on their way.
        is_claimed: it, or one before it, had the job's output already.
        is_sample: it, or one before it, had rows of the job in hand that are compared before that: one may be why.
        begun: when it took the shard in hand, on `time.perf_counter`.
        accounts: what it, and each one before it, had done; see Journal.count.
    """

    ending: Ending
    shard: str
    calls: Sequence[Call]
    flight: range
    is_claimed: bool
    is_sample: bool
    begun: float
    accounts: Sequence[Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class Guarded:
    """What a process knows of its guardian.

    Attributes:
        journal: that the guardian reads; None where there is none.
        before: the death of the child before; the job is to go on under supervision.
        started: when the command began, on `time.perf_counter`, which all its processes share.
    """

    journal: Journal | None = None
    before: Death | None = None
    started: float = 0.0

    def arm(self, job: JobSpec) -> Journal | None:
        """The journal, told what calls and memory of this job may take; to be done before the model sees a row."""
        if self.journal is not None:
            from batch.sizes import parse_size

            bound = None if job.memory is None else parse_size(job.memory)
            self.journal.arm(stall_s=patience_of(job), bound_bytes=bound)
        return self.journal

    def write_as(self, form: Form) -> None:
        """Write lines in the form that the job asks for from now on; so does its guardian."""
        set_up_logging(form)
        if self.journal is not None and form == "json":
            self.journal.write_json()

    def watch_sample(self, job: JobSpec) -> Journal | None:
        """The journal, told how long a call over a few rows of this job may take before the job itself begins.

        To be disarmed when they are out of hand: whatever ends the process then is not one of them.
        """
        if self.journal is not None:
            self.journal.arm(stall_s=patience_of(job), bound_bytes=None)
        return self.journal

    def hand_over(self) -> None:
        """End this process at once and have another one go on under supervision, if a guardian would start it."""
        if self.journal is not None and self.before is None:
            leave(75)


#: Of this process.
GUARDED = Guarded()


@contextlib.contextmanager
def guarded(progress: Progress) -> Iterator[None]:
    """Around a job that a guardian may watch: say what happened before, and hand over where the device fails."""
    if (death := GUARDED.before) is not None:
        progress.told("supervised", reason=f"(the job's process {death.ending.reason})")
    try:
        yield
    except DeviceFailed:
        GUARDED.hand_over()
        raise


def guard(*, is_plan: bool = False) -> None:
    """Return in a child that runs the job; the parent stays here until the job ends, and exits as it does.

    Elsewhere than on Linux, and where this process has other threads already, it just returns: the job runs unguarded.

    Args:
        is_plan: the job is only planned: what ends that is said, and it is not begun again.
    """
    if not hasattr(signal, "sigtimedwait") or not sys.platform.startswith("linux") or not is_single():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*asking(), signal.SIGCHLD})
    death: Death | None = None
    GUARDED.started = time.perf_counter()
    for _ in range(1 if is_plan else MOST_STARTS):
        memory = mmap.mmap(-1, SIZE_BYTES)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            die_with(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            GUARDED.journal, GUARDED.before = Journal(memory), death
            return
        journal = Journal(memory)
        status, ending = wait_for(child, journal)
        if journal.is_json:
            set_up_logging("json")
        code = os.waitstatus_to_exitcode(status)
        if journal.ended is not None:  # whatever happened to it on its way out
            leave(code if code > 0 else journal.ended)
        ending = ending or ending_of(code)
        accounts = [*(death.accounts if death is not None else ()), *filter(None, [journal.account])]
        death = Death(
            ending=ending,
            shard=journal.shard,
            calls=suspects_of(journal, ending),
            flight=journal.in_flight,
            is_claimed=journal.is_claimed or (death is not None and death.is_claimed),
            is_sample=(journal.is_armed and not journal.is_claimed) or (death is not None and death.is_sample),
            begun=journal.begun,
            accounts=accounts,
        )
        if STOPPED:
            break
    assert death is not None
    message = describe_end(death, is_plan=is_plan)
    with contextlib.suppress(OSError):  # its terminal may be gone
        os.write(2, f"{error_line(message, exit_code=75)}\n".encode())
    leave(75)


def describe_end(death: Death, *, is_plan: bool) -> str:
    """The line for the one who asked, where nobody goes on."""
    reason = f"its process {death.ending.reason}"
    if is_plan:
        advice = (
            "A row of the sample may be why: tandem run isolates such rows; plan with --no-measure for footers alone"
        )
        return f"the plan ended early: {reason}. {'Run the same command again' if STOPPED else advice}."
    times = "" if STOPPED else f", {MOST_STARTS} times"
    return f"the job ended early: {reason}{times}. What is finished is committed; run the same command again."


#: Names of the signals that asked the job to end: then it is not begun again.
STOPPED: list[str] = []


def is_single() -> bool:
    """Whether this process has one thread: a fork takes only the one that forks along."""
    return len(os.listdir("/proc/self/task")) == 1


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, however that is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended in between
        os._exit(75)


def wait_for(child: int, journal: Journal) -> tuple[int, Ending | None]:
    """Wait until the child ends, or end it.

    Returns:
        Its wait status, and why it was ended, where it was.
    """
    watch, awake = Watch(child, journal), Awake()
    ending: Ending | None = None
    listened = asking()
    while True:
        heard = signal.sigtimedwait({*listened, signal.SIGCHLD}, TICK_S)
        if heard is not None and heard.si_signo in listened:
            STOPPED.append(signal.Signals(heard.si_signo).name)
            # Ctrl-C at a terminal is sent to the child too; that it was closed, only to whom it was opened for.
            if heard.si_code != _SI_KERNEL or heard.si_signo == signal.SIGHUP:
                os.kill(child, heard.si_signo)
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status, ending
        if ending is None and (ending := watch.look(awake.look())) is not None:
            os.kill(child, signal.SIGKILL)


def suspects_of(journal: Journal, ending: Ending) -> list[Call]:
    """The calls that may have ended a process: where one was too long, that one."""
    return [call for call in journal.calls if ending.call in (None, call.number)]


def leave(code: int) -> NoReturn:
    """End without a word."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
