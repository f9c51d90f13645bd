"""Jobs: what a server process holds of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from service.errors import ServiceError
from service.jobs.book import Book
from service.jobs.keeper import Keeper
from service.jobs.settings import JobsSettings
from service.jobs.turns import Turns
from service.observe.event_metrics import EventMetrics

log = logging.getLogger("bentoml.tandem")

Found = TypeVar("Found")
#: Connections that watch at a time, `tandem plan`s that run, and reports that are made.
MOST_WATCHERS, MOST_PLANS, MOST_REPORTS = 64, 2, 1


class Jobs:
    """The book, the keeper, and what bounds those who ask.

    Attributes:
        settings: what the operator said.
        events: counts jobs.
        watchers: connections that watch.
        planning, reporting: whoever has a turn may start a process.
    """

    def __init__(self, settings: JobsSettings, events: EventMetrics) -> None:
        self.settings, self.events = settings, events
        self.book = Book(settings.folder)
        self.keeper = Keeper(self.book, settings, events)
        self.watchers = 0
        self.planning, self.reporting = Turns(MOST_PLANS, "their job's plan"), Turns(MOST_REPORTS, "a report")
        self.is_stopping = False
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="jobs-book")

    async def start(self) -> None:
        """Open the book and begin to run jobs. A folder that cannot be used costs the jobs, not the endpoint."""
        try:
            await self.ask(self.book.open)
        except ServiceError as error:
            log.error("%s", error)
        if self.settings.at_once:
            self.keeper.start()

    async def ask(self, act: Callable[..., Found], *arguments: Any, **named: Any) -> Found:
        """Have the book asked in a thread of its own: a disk may take its time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: act(*arguments, **named))

    def end_watching(self) -> None:
        """Let those who watch go: the server ends."""
        self.is_stopping = True

    async def stop(self) -> None:
        self.end_watching()
        await asyncio.to_thread(self.keeper.stop)
        self._threads.shutdown(wait=False)
