"""The access log: one JSON line a request. A request only hands its facts over; a thread of its own writes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from service.observe.seen import Seen

if TYPE_CHECKING:
    from starlette.types import Scope

log = logging.getLogger("bentoml.tandem")

#: The longest that a line waits for its thread.
WRITE_EVERY_S = 0.2
#: Lines that may wait; a disk or a pipe that takes none must not hold up requests or fill memory.
MOST_WAITING = 20_000
#: Probes are logged only where they fail.
PROBES = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})
#: A path is said as it came, cut to so many characters.
MOST_OF_PATH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """What a line says."""

    scope: Scope
    seen: Seen
    status: int
    seconds: float
    received_bytes: int
    sent_bytes: int
    ended: float = field(default_factory=time.time)

    def as_json(self) -> str:
        key = self.scope.get("tandem.key")
        client = self.scope.get("client")
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(self.ended, UTC).isoformat(timespec="milliseconds"),
            "request_id": self.seen.request_id,
            "trace_id": self.seen.trace_id,
            "method": self.scope["method"][:20],
            "route": self.seen.route,
            "path": self.scope["path"][:MOST_OF_PATH],
            "status": self.status,
            "duration_ms": round(self.seconds * 1e3, 3),
            "bytes_in": self.received_bytes,
            "bytes_out": self.sent_bytes,
            "rows": self.scope.get("tandem.rows"),
            "model": self.scope.get("tandem.model"),
            "key": (key.name or None) if key else None,
            "client": client[0] if client else None,
        }
        return json.dumps({name: fact for name, fact in facts.items() if fact is not None})


class AccessLog:
    """Writes lines in the order in which requests ended.

    A file that was moved away is opened anew, so that it can be rotated. What cannot be written is counted and lost: no
    request waits for its line.

    Args:
        place: a file's path, or `-` for stderr.
        sample: the share of requests that are logged; those answered with 500 and above always are.
        lost: is told how many lines were lost.
    """

    def __init__(self, place: str, *, sample: float, lost: Callable[[int], None]) -> None:
        self.place, self.sample, self.lost = place, sample, lost
        self._waiting: deque[AccessLine] = deque()
        self._ending = threading.Event()
        self._file: TextIO | None = None
        with contextlib.suppress(OSError):  # it is said when there are lines to lose
            self._open()
        self._thread = threading.Thread(target=self._work, name="access-log", daemon=True)
        self._thread.start()

    def write(self, line: AccessLine) -> None:
        """Hand a line over; never waits."""
        if line.seen.route in PROBES and line.status < 400:
            return
        if self.sample < 1 and line.status < 500 and random.random() >= self.sample:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.lost(1)
        else:
            self._waiting.append(line)

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        self._ending.set()
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._ending.wait(WRITE_EVERY_S):
            self.flush()
        self.flush()
        if self._file is not None:
            self._file.close()

    def flush(self) -> None:
        """Write what waits; in the thread, or once it has ended."""
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not lines:
            return
        text = "".join(line.as_json() + "\n" for line in lines)
        try:
            file = self._open()
            file.write(text)
            file.flush()
        except (OSError, ValueError) as error:
            self._file = None
            self.lost(len(lines))
            log.warning("access log: %d lines are lost: %s", len(lines), error)

    def _open(self) -> TextIO:
        """The file, opened anew where it was moved away."""
        if self.place == "-":
            return sys.stderr
        if self._file is not None:
            held = os.fstat(self._file.fileno())
            try:
                there = os.stat(self.place)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_ino, there.st_dev) == (held.st_ino, held.st_dev):
                return self._file
            self._file.close()
        self._file = open(self.place, "a", encoding="utf-8")  # noqa: SIM115 - held open from line to line
        return self._file
