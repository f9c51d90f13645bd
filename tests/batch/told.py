"""A Progress that keeps what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Told:
    """Keeps every event with its facts; `at` is called when an event of its name comes."""

    def __init__(self, **at: Callable[[], None]) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.at = at

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        self.told("planned", shards=shards, rows=rows, done_rows=done_rows)

    def advanced(self, rows: int) -> None: ...

    def told(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))
        self.at.get(event, lambda: None)()

    def facts(self, event: str) -> dict[str, Any]:
        """Of the one event of this name."""
        (found,) = [facts for name, facts in self.events if name == event]
        return found
