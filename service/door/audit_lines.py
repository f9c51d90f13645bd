"""Audit lines: on their way to a file or the server's log, by a thread of their own: a disk may take its time."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger("bentoml.tandem")

#: Lines that may wait for a disk or a pipe that takes none; some 6 MiB.
MOST_WAITING = 20_000
#: Until a place that took no line is tried again.
TRY_AGAIN_S = 1.0
STDERR = 2


class AuditLines:
    """Writes lines in the order in which they came, within milliseconds; whoever hands one over never waits.

    What cannot be written is kept and tried again, so that a full disk costs none. Of more than MOST_WAITING the newest
    are lost: the server's log says so at once, and a line in their place says how many. A file that was moved away is
    opened anew.

    Args:
        target: a file that is appended to; `-` or empty: stderr.
    """

    def __init__(self, target: str) -> None:
        self._path = "" if target == "-" else target
        self._waiting: deque[dict[str, Any]] = deque()
        self._lost = 0
        self._unwritten = b""
        self._file: int | None = None
        self._lock, self._wake, self._ending = threading.Lock(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._is_stuck = False

    def write(self, line: dict[str, Any]) -> None:
        """Hand a line over."""
        if self._ending.is_set():
            log.error("audit log: it is closed; not in it: %s", json.dumps(line, ensure_ascii=True))
            return
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                if not self._lost:
                    log.error("audit log: %d lines wait to be written, and newer ones are lost", MOST_WAITING)
                self._lost += 1
                return
            self._waiting.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Write what waits, and end the thread; what could not be written is counted in the server's log."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._lock:
            left = len(self._waiting) + self._unwritten.count(b"\n") + self._lost
        if left:
            log.error("audit log: %d lines are lost at the server's end", left)

    def _work(self) -> None:
        while not self._ending.is_set():
            self._wake.wait()
            self._wake.clear()
            if not self._flush():
                self._ending.wait(TRY_AGAIN_S)
                self._wake.set()
        self._flush()
        if self._file is not None:
            os.close(self._file)

    def _flush(self) -> bool:
        """Write what waits; whether that was possible."""
        while self._unwritten or self._take():
            try:
                file = self._open()
                while self._unwritten:
                    self._unwritten = self._unwritten[os.write(file, self._unwritten) :]
            except OSError as error:
                if not self._is_stuck:
                    log.error("audit log: lines wait: %s", (error.strerror or type(error).__name__).lower())
                self._is_stuck = True
                return False
            self._is_stuck = False
        return True

    def _take(self) -> bool:
        """Make text of the lines that wait; whether there were any."""
        with self._lock:
            lines, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = 0
        if lost:
            lines.append({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "lost_lines": lost})
        self._unwritten = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines).encode()
        return bool(lines)

    def _open(self) -> int:
        """The file, opened anew where it was moved away."""
        if not self._path:
            return STDERR
        if self._file is not None:
            held = os.fstat(self._file)
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_ino, there.st_dev) == (held.st_ino, held.st_dev):
                return self._file
            os.close(self._file)
            self._file = None
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._file
