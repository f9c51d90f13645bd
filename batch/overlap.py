"""Overlap: a step of the row's journey runs in a thread of its own, at most a few items ahead."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

#: Whoever waits looks up so often. Any thread may take a signal, also one that was just started to answer a request for
#: metrics, and only the main thread hears it: where that waits without end, it does not before the next item comes.
LOOK_UP_S = 0.5


@dataclass(slots=True, kw_only=True)
class QueueTime:
    """Seconds in which a step stood still at a queue: the slowest step is the one that never does.

    Attributes:
        empty: the step behind waited for an item.
        full: the step before waited for a place.
    """

    empty: float = 0.0
    full: float = 0.0


class Failure:
    """What the step raised, on its way to the one who waits for the next item."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def overlap(items: Iterable[Item], *, ahead: int, name: str, stood: QueueTime | None = None) -> Generator[Item]:
    """Yield `items` unchanged, made in a thread at most `ahead` items in advance, so that memory stays bounded.

    An error of the step is raised here, after the items before it. When the consumer stops early, the thread ends
    at its next item and is waited for. What either side waits for the other is added to `stood`. Signals are heard
    while an item, or the thread's end, is waited for.
    """
    stood = stood or QueueTime()
    done = object()
    ready: queue.Queue[object] = queue.Queue(maxsize=max(ahead, 1))
    stopped = threading.Event()

    def put(item: object) -> bool:
        started = time.perf_counter()
        try:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return True
            return False
        finally:
            stood.full += time.perf_counter() - started

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
            put(done)
        except BaseException as error:
            put(Failure(error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def take() -> object:
        started = time.perf_counter()
        try:
            while True:
                try:
                    return ready.get(timeout=LOOK_UP_S)
                except queue.Empty:
                    continue
        finally:
            stood.empty += time.perf_counter() - started

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = take()
            if item is done:
                return
            if isinstance(item, Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        while thread.is_alive():
            thread.join(LOOK_UP_S)
