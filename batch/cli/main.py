"""The entry point: signals wait until somebody can answer them, and rows go through a model behind a guardian."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TextIO, cast

#: Commands under which rows go through a model.
JOBS = ("run", "retry", "plan")


def main() -> None:
    """Run the command, behind a guardian where rows go through a model; see `supervise.guardian`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    from batch.cli.answer import answer
    from batch.cli.pipe_safe import PipeSafe
    from batch.observe.log_lines import asks_for_json, set_up_logging
    from batch.stop import ASKING, IS_COMMAND, asking

    IS_COMMAND.set()
    sys.stdout = cast(TextIO, PipeSafe(sys.stdout))
    set_up_logging("json" if asks_for_json(sys.argv[1:]) else "text")
    if sys.argv[1:2] not in [[job] for job in JOBS]:
        signal.signal(signal.SIGTERM, end_early)
        answer()
        return
    from batch.supervise.guardian import GUARDED, guard

    for number in asking():
        signal.signal(number, end_at_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
    if not {"-h", "--help", "--no-measure"} & set(sys.argv):
        guard(is_plan=sys.argv[1] == "plan")
    if GUARDED.journal is None:
        answer()
        return
    code = 1
    try:
        answer()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        raise
    finally:
        GUARDED.journal.end(code)


def end_early(number: int, frame: FrameType | None) -> None:
    """Whoever has something to clear away does so."""
    say_asked(number)
    sys.exit(75)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Nothing of a job is begun that would have to be finished first; and no row shall be blamed for an exception."""
    from batch.supervise.guardian import GUARDED, leave

    say_asked(number)
    if GUARDED.journal is not None:
        GUARDED.journal.end(75)
    leave(75)


def say_asked(number: int) -> None:
    """The one line; whoever asks a group of processes asks some of them twice."""
    from batch.observe.log_lines import error_line
    from batch.stop import asking

    for each in asking():
        signal.signal(each, signal.SIG_IGN)
    name = signal.Signals(number).name
    line = error_line(f"asked to end by {name}; run the same command again", exit_code=75)
    with contextlib.suppress(OSError):  # its terminal may be gone
        os.write(2, f"{line}\n".encode())


if __name__ == "__main__":
    main()
