"""What a worker process does for its supervisor's sake: it does not outlive it, and works in the same folder."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping

#: Holds the supervisor's process id, in the environment of its processes.
SUPERVISOR = "TANDEM_SUPERVISOR"
#: Holds the folder in which the supervisor was started: BentoML starts its processes in the one that holds the rooms.
FOLDER = "TANDEM_FOLDER"
PR_SET_PDEATHSIG = 1


def describe_supervisor() -> dict[str, str]:
    """What this process, a supervisor, tells its own by their environment."""
    return {SUPERVISOR: str(os.getpid()), FOLDER: os.getcwd()}


def work_for_supervisor(environ: Mapping[str, str]) -> None:
    """End with the supervisor, and mean by a place without a scheme what was meant where it was started."""
    end_with_supervisor(environ)
    if folder := environ.get(FOLDER):
        os.chdir(folder)


def end_with_supervisor(environ: Mapping[str, str]) -> None:
    """Let the kernel kill this process when its supervisor has ended, however that ended.

    An orphan would hold the port, and the memory of its models, for nobody. Where there is no supervisor of ours (a
    test, another process manager) nothing is changed.
    """
    supervisor = environ.get(SUPERVISOR, "")
    if not supervisor.isdigit():
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(supervisor):  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)
