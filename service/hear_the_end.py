"""Hear the end: what is told as soon as the server is asked to end, for it waits for every open connection first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType


def hear_the_end(act: Callable[[], None]) -> None:
    """Have `act` called by the running event loop once SIGTERM comes; who had it before is told as ever.

    To be called in the main thread, from the event loop.
    """
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        if callable(before):
            before(number, frame)

    if callable(before):  # whoever has no handler ends at once
        signal.signal(signal.SIGTERM, hear)
