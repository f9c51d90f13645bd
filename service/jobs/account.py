"""Account: how far a job has come, by the lines that it writes (`--log json`) and the numbers that it serves."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Any

from models.say import one_line
from service.errors import hide_places
from service.jobs.name_settings import name_settings

#: Of one line that is longer, nothing is read.
MOST_LINE_BYTES = 1 << 18
#: A log may have so many bytes, and so many more for each shard, which has a line or two of its own. Nothing is read of
#: what is beyond.
MOST_LOG_BYTES, MOST_SHARD_LOG_BYTES = 64 << 20, 4096
#: The rate is over so many seconds.
RATE_S = 30.0
MOST_SAID = 500
METRICS_URL = re.compile(r"http://127\.0\.0\.1:(\d{1,5})/metrics")
ROWS_DONE = re.compile(rb'^tandem_rows\{state="done"\} ([0-9.e+]+)$', re.MULTILINE)


class Account:
    """What a job's log says of all its runs. Reads only what is new; one thread at a time."""

    def __init__(self, log: Path, *, known: dict[str, Any] | None, shards_before: int) -> None:
        """
        Args:
            log: the file; it may not be there yet.
            known: the progress as `tandem plan` or an earlier server left it.
            shards_before: that were committed before this job's first run.
        """
        self._log, self._offset, self._rest = log, 0, b""
        self._port: int | None = None
        self._committed: dict[str, int] = {}
        self._pace: deque[tuple[float, int]] = deque()
        self.planned = known is not None
        known = known or {}
        self._shards = int(known.get("shards", 0))
        self._before = shards_before
        self._rows, self._rows_done = int(known.get("rows", 0)), int(known.get("rows_done", 0))
        self._error_rows = 0
        self._run_began: tuple[datetime, int] | None = None
        self._run_rate: float | None = None
        self.said: str | None = None
        self.exit_code: int | None = None

    def begin(self) -> None:
        """Another run begins: what an earlier one said last is not its word."""
        self.read()
        self._port, self.said, self.exit_code = None, None, None
        self._pace.clear()

    @property
    def shards_done(self) -> int:
        return self._before + len(self._committed)

    @property
    def most_log_bytes(self) -> int:
        """Of a job that does not write without end."""
        return MOST_LOG_BYTES + MOST_SHARD_LOG_BYTES * self._shards

    def overflows(self) -> bool:
        """Whether its log has more."""
        try:
            return self._log.stat().st_size > self.most_log_bytes
        except OSError:
            return False

    def cut(self) -> None:
        """Give the disk back what is too much."""
        if self.overflows():
            with contextlib.suppress(OSError):
                os.truncate(self._log, self.most_log_bytes)

    def read(self) -> None:
        """Take in the lines that are new: those that are there now, however fast others come."""
        with contextlib.suppress(FileNotFoundError), self._log.open("rb") as log:
            end = min(os.fstat(log.fileno()).st_size, self.most_log_bytes)
            log.seek(self._offset)
            while chunk := log.read(max(min(1 << 20, end - self._offset), 0)):
                self._offset += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(self._rest) > MOST_LINE_BYTES:
                    self._rest = b""

    def look(self, *, ended: bool = False) -> dict[str, Any] | None:
        """The progress as callers see it; None until the job is planned."""
        self.read()
        if not ended:
            self._ask_metrics()
        if not self.planned:
            return None
        rate = self._run_rate if ended else self._rate(time.monotonic())
        left = max(self._rows - self._rows_done, 0)
        return {
            "shards": self._shards,
            "shards_done": min(self.shards_done, self._shards),
            "rows": self._rows,
            "rows_done": min(self._rows_done, self._rows),
            "error_rows": self._error_rows,
            "rows_per_s": None if rate is None else round(rate, 1),
            "left_s": None if ended or not rate else round(left / rate, 1),
        }

    def _take(self, line: bytes) -> None:
        if len(line) > MOST_LINE_BYTES:
            return
        try:
            told = json.loads(line)
            assert isinstance(told, dict)
            self._take_event(str(told.get("event")), told)
        except (ValueError, TypeError, KeyError, AssertionError):
            # No line of ours: what a library or the interpreter says last is all there is to say of a crash.
            if text := line.decode("utf-8", "replace").strip():
                self.said = hide_places(one_line(text))[:MOST_SAID]

    def _take_event(self, event: str, told: dict[str, Any]) -> None:
        if event == "planned":
            self.planned = True
            self._shards = self.shards_done + int(told["shards"])
            self._rows, self._rows_done = int(told["rows"]), int(told["done_rows"])
            self._run_began, self._run_rate = (datetime.fromisoformat(told["time"]), self._rows_done), None
        elif event in ("committed", "already committed"):
            shard, errors = str(told["shard"]), int(told.get("errors", 0))
            if shard not in self._committed:
                self._committed[shard] = errors
                self._error_rows += errors
                self._rows_done += int(told.get("rows", 0)) if self._port is None else 0
        elif event in ("done", "already done"):
            self.planned, self.exit_code = True, 0
            self._before, self._rows_done = self._shards - len(self._committed), self._rows
            self._end_run(datetime.fromisoformat(told["time"]))
            self._error_rows = int(told.get("errors", self._error_rows))
        elif event == "metrics" and (found := METRICS_URL.fullmatch(str(told["url"]))):
            self._port = int(found[1])
        elif event == "failed" and "exit_code" in told:
            self.exit_code = int(told["exit_code"])
            self.said = name_settings(hide_places(one_line(str(told["message"]))))[:MOST_SAID]
        elif told.get("level") in ("warning", "error", "critical") and "message" in told:
            self.said = name_settings(hide_places(one_line(str(told["message"]))))[:MOST_SAID]

    def _end_run(self, now: datetime) -> None:
        """The rate of a whole run, by its own clock."""
        if self._run_began is not None:
            since, before = self._run_began
            seconds = (now - since).total_seconds()
            self._run_rate = (self._rows_done - before) / seconds if seconds > 0 else None

    def _ask_metrics(self) -> None:
        """Rows that are answered and not yet committed are counted too, by the numbers on the job's own port."""
        if self._port is None:
            return
        asked = http.client.HTTPConnection("127.0.0.1", self._port, timeout=0.5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(asked):
            asked.request("GET", "/metrics")
            if found := ROWS_DONE.search(asked.getresponse().read(1 << 20)):
                self._rows_done = max(self._rows_done, int(float(found[1])))

    def _rate(self, now: float) -> float | None:
        """Rows a second over the last RATE_S; None before two looks."""
        self._pace.append((now, self._rows_done))
        while len(self._pace) > 2 and self._pace[1][0] <= now - RATE_S:
            self._pace.popleft()
        (since, before), (until, after) = self._pace[0], self._pace[-1]
        return (after - before) / (until - since) if until > since and after > before else None
