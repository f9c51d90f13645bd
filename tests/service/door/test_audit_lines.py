"""Audit lines: handed over without waiting, none lost in silence, all written at the end."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from service.door import audit_lines
from service.door.audit_lines import AuditLines
from service.door.door import Door
from service.door.settings import DoorSettings
from tests.service.jobs.wait import wait_until


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


class HeldDisk:
    """A disk that takes nothing before it is let go; then, where it is full, nothing until there is room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.is_full, self.asked, self._write = threading.Event(), False, 0, os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        self.asked += 1
        assert self.go.wait(60)
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(file, data[: max(len(data) // 2, 1)])  # which a disk may do, too


def test_whoever_hands_lines_over_does_not_wait_for_the_disk_and_all_are_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, log = HeldDisk(monkeypatch), AuditLines(str(tmp_path / "log"))
    for number in range(100):
        log.write({"number": number})
    wait_until(lambda: disk.asked)
    assert lines(tmp_path / "log") == []
    disk.go.set()
    log.close()
    assert [line["number"] for line in lines(tmp_path / "log")] == list(range(100))


def test_a_disk_that_is_full_costs_no_line_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_lines, "TRY_AGAIN_S", 0.01)
    disk, log = HeldDisk(monkeypatch), AuditLines(str(tmp_path / "log"))
    disk.is_full = True
    disk.go.set()
    for number in range(3):
        log.write({"number": number})
    wait_until(lambda: disk.asked > 3)
    disk.is_full = False
    wait_until(lambda: len(lines(tmp_path / "log")) == 3)
    log.close()
    assert [line["number"] for line in lines(tmp_path / "log")] == [0, 1, 2]
    assert caplog.text.count("lines wait: no space left on device") == 1


def test_lines_that_are_too_many_to_wait_are_counted_in_the_log_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_lines, "MOST_WAITING", 5)
    disk, log = HeldDisk(monkeypatch), AuditLines(str(tmp_path / "log"))
    log.write({"number": 0})
    wait_until(lambda: disk.asked)
    for number in range(1, 9):
        log.write({"number": number})
    disk.go.set()
    log.close()
    *written, last = lines(tmp_path / "log")
    assert [line["number"] for line in written] == [0, 1, 2, 3, 4, 5]
    assert last["lost_lines"] == 3
    assert caplog.text.count("newer ones are lost") == 1


def test_lines_that_cannot_be_written_at_the_end_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLines(str(tmp_path / "no such folder" / "log"))
    for number in range(3):
        log.write({"number": number})
    log.close()
    log.write({"number": 3})
    assert "3 lines are lost at the server's end" in caplog.text
    assert 'not in it: {"number": 3}' in caplog.text


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    log = AuditLines(str(tmp_path / "log"))
    log.write({"number": 0})
    wait_until(lambda: (tmp_path / "log").exists() and lines(tmp_path / "log"))
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.write({"number": 1})
    log.close()
    assert (lines(tmp_path / "log.1"), lines(tmp_path / "log")) == ([{"number": 0}], [{"number": 1}])


def test_the_server_ends_after_its_last_audit_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, path = HeldDisk(monkeypatch), tmp_path / "log"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        threading.Timer(0.2, disk.go.set).start()

    async def run() -> None:
        door = Door(app, settings=DoorSettings(audit_log=str(path)), operations=[])
        scope = {"method": "GET", "path": "/"}
        door.audit.write(scope, None, status=401, refused="no key")
        await door({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    asyncio.run(run())
    assert [line["status"] for line in lines(path)] == [401]
