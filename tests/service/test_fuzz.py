"""The OpenAPI page is true: schemathesis, with every check, finds nothing. `make fuzz` asks for longer."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.play import fuzz


def test_what_the_page_allows_is_answered_as_it_says_and_what_it_does_not_is_refused(tmp_path: Path) -> None:
    ended = fuzz(tmp_path, examples=5)
    assert ended.code == 0, ended.said
    assert "Traceback" not in ended.log
