"""The process of a job: started, found again after a restart of the server, and ended.

It outlives the server: a SIGKILL of the server costs a job nothing, and the next server takes it up. It is in a group
of its own, so that Ctrl-C at the server's terminal is not meant for it, but in the server's session: Linux divides
processors among sessions first (autogroup), and in one of its own a job would get as much as the whole endpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.bento import ROOT
from service.jobs.launch import EXIT, LOCK
from service.jobs.settings import JobsSettings, size_bytes

LAUNCH = Path(__file__).with_name("launch.py")
SPEC, LOG, REPORT = "job.json", "log.jsonl", "report.html"
#: Of the server's environment, what would have a job count among the server's metrics.
SERVERS_OWN = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")
#: What JSON lets stand and YAML, as which a job file is read, does not.
NOT_YAML = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff]")


def command_of(*words: str) -> list[str]:
    return [sys.executable, "-m", "batch.cli.main", *words]


def environment() -> dict[str, str]:
    """Where the rooms are importable from anywhere, and the operator's own classes as in the server."""
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), os.getcwd()]
    kept = {name: value for name, value in os.environ.items() if name not in SERVERS_OWN}
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def write_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write the job file, for this user only.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(spec, ensure_ascii=False))
    path = folder / f".{SPEC}.{os.getpid()}"
    path.write_text(text, encoding="utf-8")
    path.replace(folder / SPEC)


def within_share(spec: Mapping[str, Any], settings: JobsSettings) -> dict[str, Any]:
    """The job with no more threads, workers and memory than one gets here; answers do not depend on them."""
    asked = spec.get("workers", 1)
    workers = min(asked, settings.threads) if isinstance(asked, int) else 1
    threads = min(spec.get("threads") or settings.threads, max(settings.threads // workers, 1))
    share = dict(spec) | {"workers": workers, "threads": threads}
    if settings.memory and not (spec.get("memory") and size_bytes(spec["memory"]) <= size_bytes(settings.memory)):
        share["memory"] = settings.memory
    return share


def start(folder: Path, spec: Mapping[str, Any], settings: JobsSettings) -> subprocess.Popen[bytes]:
    """Run a job, or what is left of it; the process ends with the job's own.

    Raises:
        OSError: its folder cannot be written, or no process be started.
    """
    write_spec(folder, within_share(spec, settings) | {"log": "json", "metrics_port": 0, "metrics_host": "127.0.0.1"})
    with os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-I", str(LAUNCH), str(folder), settings.priority, *command_of("run", SPEC)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            process_group=0,
        )


def is_run(folder: Path) -> bool:
    """Whether a process runs the job of a folder, whoever started it."""
    return lock_held(folder) is not None


def running_pid(folder: Path) -> int | None:
    """The number of the process that runs the job of a folder; None where none does, or it is not written yet."""
    held = lock_held(folder)
    return int(held) if held and held.isdigit() else None


def lock_held(folder: Path) -> bytes | None:
    """What the lock of a job says while somebody holds it; None where nobody does."""
    with contextlib.suppress(FileNotFoundError), (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.pread(lock.fileno(), 20, 0)
    return None


def exit_code(folder: Path) -> int | None:
    """How the last process of a job ended, a signal's number below 0; None where nobody wrote it down."""
    with contextlib.suppress(OSError, ValueError):
        return int((folder / EXIT).read_text())
    return None


def defer_to_us(pid: int) -> None:
    """Have the session of a process that another server started get what an idle one does."""
    with contextlib.suppress(OSError):
        theirs, ours = Path(f"/proc/{pid}/autogroup"), Path("/proc/self/autogroup")
        if theirs.read_text().split()[0] != ours.read_text().split()[0]:
            theirs.write_text("19")


def ask_to_end(pid: int) -> None:
    """The shard in hand is committed first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def end_at_once(pid: int) -> None:
    """Nothing is lost by it but what was not committed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpgid(pid), signal.SIGKILL)
