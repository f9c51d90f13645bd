"""What a worker process does for its supervisor's sake: it does not outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping

#: Holds the supervisor's process id, in the environment of its processes.
SUPERVISOR = "TANDEM_SUPERVISOR"
PR_SET_PDEATHSIG = 1


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
