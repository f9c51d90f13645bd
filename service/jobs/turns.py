"""Turns: of those who want a process started for them a few have one at a time, and a few more wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.jobs.errors import JobsBusy

#: Whoever waits behind so many would wait for minutes.
MOST_WAITING = 8


class Turns:
    """So many at a time.

    Args:
        at_once: that may have a turn.
        what: they want, for those who are told to come again.
    """

    def __init__(self, at_once: int, what: str) -> None:
        self._free, self._waiting, self._what = asyncio.Semaphore(at_once), 0, what

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for as long as the block takes.

        Raises:
            JobsBusy: enough others wait.
        """
        if self._free.locked() and self._waiting >= MOST_WAITING:
            raise JobsBusy(f"{self._waiting} others wait for {self._what}.", retry_after_s=10)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
