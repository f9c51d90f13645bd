"""Progress: state changes as log lines; on a terminal, a bar with rows/s and time left besides."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Protocol, Self

from batch.observe.log_lines import in_words

log = logging.getLogger("tandem")


class Progress(Protocol):
    """Who is told how a job goes on. Called from one thread."""

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        """The plan is agreed; `done_rows` of `rows` were committed before."""

    def advanced(self, rows: int) -> None:
        """So many more input rows are answered."""

    def told(self, event: str, **facts: object) -> None:
        """The job's state changed; a fact that is a mapping is for machines, and a line of text leaves it out."""


class LogProgress:
    """One log line for each state change; nothing for each row."""

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        self.told("planned", shards=shards, rows=rows, done_rows=done_rows)

    def advanced(self, rows: int) -> None:
        pass

    def told(self, event: str, **facts: object) -> None:
        log.info("%s %s", event, in_words(facts), extra={"event": event, "facts": facts})


class PassingProgress:
    """Passes on what it is told; the base of those that act on some of it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        self._progress.planned(shards=shards, rows=rows, done_rows=done_rows)

    def advanced(self, rows: int) -> None:
        self._progress.advanced(rows)

    def told(self, event: str, **facts: object) -> None:
        self._progress.told(event, **facts)


class BarProgress:
    """A bar on the terminal. Parts are counted in it instead of named."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows  {task.fields[rate]}  "),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("predict", total=None, rate="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def planned(self, *, shards: int, rows: int, done_rows: int) -> None:
        self.bar.update(self.task, total=rows, completed=done_rows)

    def advanced(self, rows: int) -> None:
        speed = self.bar.tasks[0].speed
        self.bar.update(self.task, advance=rows, rate=f"{speed:,.0f} rows/s" if speed else "")

    def told(self, event: str, **facts: object) -> None:
        if event not in ("committed", "already committed"):
            self.bar.console.print(event, in_words(facts), style="dim", markup=False)


def on_terminal() -> bool:
    return sys.stderr.isatty() and sys.stdout.isatty()
