"""Stop: SIGTERM and Ctrl-C let the shard in hand be committed; a second one ends at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from batch.observe.log_lines import warning_line

#: Within so many seconds a second signal is the first once more: a group of processes was asked, and with it our
#: guardian, which passes it on.
SAME_S = 0.5


class Stop:
    """Whether the job was asked to stop. Signals are caught between `with` and its end, in the main thread only."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.heard_at: float | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
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
        if self.heard_at is not None:
            if time.monotonic() - self.heard_at > SAME_S:  # whoever asks twice wants it now
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.asked, self.heard_at = signal.Signals(number).name, time.monotonic()
        what = "the shard in hand is finished and committed first; once more ends at once"
        os.write(2, f"{warning_line(f'{self.asked}: {what}')}\n".encode())
