"""Launch: `python launch.py FOLDER PRIORITY COMMAND...` runs the command and writes down how it ended.

A file of its own, run by its path: between fork and exec of a process with threads nothing of this may be done, and
whoever is started here must be humble (priority `idle`) before it starts others. It takes 15 ms
and 9 MB.

The lock (flock) is held by the command itself for as long as it lives. So whoever comes later, another server after a
SIGKILL, sees whether the job still runs and under which number, and none is ever run twice on one machine. What
supervises the server (circus) asks the children of its processes to end, too; this one is the child, and hears nothing:
a job is asked by its keeper alone, once.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import platform
import signal
import sys

LOCK, EXIT = "lock", "exit"
#: Somebody runs this job already.
HELD_CODE = 76
DEAF_TO = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: <linux/ioprio.h>: the idle class, of a process; the number of ioprio_set.
_IDLE_CLASS, _WHO_PROCESS, _IOPRIO_SET = 3 << 13, 1, {"x86_64": 251, "aarch64": 30}
#: Where memory runs out, a job goes before the endpoint does.
OOM_SCORE = "500"


def main() -> None:
    folder, priority, *command = sys.argv[1:]
    held = os.open(f"{folder}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(HELD_CODE)
    os.ftruncate(held, 0)  # an earlier run's number may be somebody else's by now
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{EXIT}")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
    child = os.fork()
    if child == 0:
        os.write(held, str(os.getpid()).encode())
        os.set_inheritable(held, True)
        give_way(is_idle=priority == "idle")
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.execv(command[0], command)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with open(f"{folder}/{EXIT}", "w") as file:  # the lock is still ours: nobody looks before this is written
        file.write(str(code))


def give_way(*, is_idle: bool) -> None:
    """Go first where memory runs out; idle, take only what nobody else wants of processors and disks.

    SCHED_IDLE gives way at once to any ordinary thread that wakes up, which nice 19 alone does not. What the machine
    does not know is left out.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(OOM_SCORE)
    if not is_idle:
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with contextlib.suppress(OSError, KeyError, AttributeError):
        ctypes.CDLL(None).syscall(_IOPRIO_SET[platform.machine()], _WHO_PROCESS, 0, _IDLE_CLASS)


if __name__ == "__main__":
    main()
