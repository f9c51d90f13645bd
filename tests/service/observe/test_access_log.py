"""The access log holds no request up, loses no line that it could write, and lets its file be moved away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.observe import access_log
from service.observe.access_log import AccessLine, AccessLog
from service.observe.seen import Seen, read_request_id


def line(*, status: int = 200, route: str = "/predict", request_id: str = "one") -> AccessLine:
    scope = {"type": "http", "method": "POST", "path": route, "client": ("192.0.2.1", 5000)}
    scope |= {"tandem.model": "letters:1", "tandem.rows": 3}
    seen = Seen(request_id=request_id, route=route)
    return AccessLine(scope=scope, seen=seen, status=status, seconds=0.0125, received_bytes=10, sent_bytes=20)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in file.read_text().splitlines()]


def test_a_line_says_who_asked_what_and_what_became_of_it(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "log"), sample=1, lost=pytest.fail)
    log.write(line())
    log.close()
    (found,) = lines(tmp_path / "log")
    assert str(found.pop("time")).endswith("+00:00")
    assert found == {
        "request_id": "one", "method": "POST", "route": "/predict", "path": "/predict", "status": 200,
        "duration_ms": 12.5, "bytes_in": 10, "bytes_out": 20, "rows": 3, "model": "letters:1", "client": "192.0.2.1",
    }  # fmt: skip


def test_a_sample_leaves_out_requests_but_no_failure_and_probes_are_lines_only_where_they_fail(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "log"), sample=0, lost=pytest.fail)
    for status in (200, 400, 500, 503):
        log.write(line(status=status))
    log.write(line(route="/readyz", status=200))
    log.write(line(route="/readyz", status=503))
    log.close()
    assert [(one["route"], one["status"]) for one in lines(tmp_path / "log")] == [
        ("/predict", 500), ("/predict", 503), ("/readyz", 503),
    ]  # fmt: skip


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "WRITE_EVERY_S", 3600)
    log = AccessLog(str(tmp_path / "log"), sample=1, lost=pytest.fail)
    log.write(line(request_id="before"))
    log.flush()
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.write(line(request_id="after"))
    log.close()
    assert [one["request_id"] for one in lines(tmp_path / "log.1")] == ["before"]
    assert [one["request_id"] for one in lines(tmp_path / "log")] == ["after"]


def test_lines_that_cannot_be_written_are_counted_and_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 5)
    monkeypatch.setattr(access_log, "WRITE_EVERY_S", 3600)
    lost: list[int] = []
    log = AccessLog(str(tmp_path / "no such folder" / "log"), sample=1, lost=lost.append)
    for _ in range(7):
        log.write(line())
    assert lost == [1, 1]
    log.close()
    assert sum(lost) == 7


@pytest.mark.parametrize("found", [b"", b"a" * 129, b"two words", b"line\\nbreak", b"caf\xe9", b'"quoted"'])
def test_an_id_that_would_spoil_a_log_or_a_header_is_replaced(found: bytes) -> None:
    assert read_request_id([(b"x-request-id", found)]).encode() != found
    assert read_request_id([(b"x-request-id", b"Build-7_a.b")]) == "Build-7_a.b"
