"""Stop: SIGTERM, Ctrl-C and a closed terminal let the shard in hand be committed; a second one ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from batch.observe.log_lines import error_line, warning_line

#: What asks a job to end.
ASKING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
#: Within so many seconds a second signal is the first once more: a group of processes was asked, and with it our
#: guardian, which passes it on.
SAME_S = 0.5
#: This process is a command's, and nobody else's: a second signal may end it.
IS_COMMAND = threading.Event()
#: Held from the moment at which a command ends at once: one more signal, between two lines of that, says nothing new.
_LEAVING = threading.Lock()


def asking() -> frozenset[signal.Signals]:
    """The signals that ask this process to end: whoever was started by nohup does not hear of a closed terminal."""
    return ASKING - ({signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set())


class Stop:
    """Whether the job was asked to stop. Signals are caught between `with` and its end, in the main thread only."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.heard_at: float | None = None
        self.before: dict[int, Any] = {}
        self._first = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in asking():
                self.before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def ask(self, reason: str) -> None:
        """Ask as a signal does, unless somebody did. A signal after it is still the first one."""
        self.asked = self.asked or reason

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            let_terminal_go()
        # A second signal may be heard between any two lines of this, by this very thread.
        if not self._first.acquire(blocking=False):
            if (
                self.heard_at is not None and time.monotonic() - self.heard_at > SAME_S
            ):  # whoever asks twice is in haste
                end_in_haste(signal.Signals(number))
            return
        self.asked, self.heard_at = signal.Signals(number).name, time.monotonic()
        what = "the shard in hand is finished and committed first; once more ends at once"
        with contextlib.suppress(OSError):
            os.write(2, f"{warning_line(f'{self.asked}: {what}')}\n".encode())


def end_in_haste(number: signal.Signals) -> None:
    """End without waiting for threads that are in the middle of a call of the model; nothing is lost by it.

    Raises:
        KeyboardInterrupt: Ctrl-C, where this process is somebody's Python; once, whatever is pressed meanwhile.
    """
    if IS_COMMAND.is_set():
        if not _LEAVING.acquire(blocking=False):
            return
        from batch.supervise.guardian import GUARDED  # which knows signals from here

        if GUARDED.journal is not None:
            GUARDED.journal.end(75)
        with contextlib.suppress(OSError):
            os.write(2, f"{error_line('interrupted; run the same command again', exit_code=75)}\n".encode())
        os._exit(75)
    if number == signal.SIGINT:
        for other in ASKING:
            signal.signal(other, signal.SIG_IGN)  # until Stop's end
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def let_terminal_go() -> None:
    """What is said to a terminal that is gone goes nowhere, rather than end the one who says it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for end in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(end).st_mode) and not os.isatty(end):
                os.dup2(nowhere, end)
    os.close(nowhere)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Signals wait meanwhile; also for a process that is started in between, until that says what it does with them."""
    from multiprocessing import resource_tracker  # a job in one process starts without it

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    resource_tracker.ensure_running()  # which lets some of them in
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent() -> None:
    """In a worker: its parent hears the signals, which a terminal sends to all, and sees to what is in hand."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
