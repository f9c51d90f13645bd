"""Overlap: a step of the row's journey runs in a thread of its own, at most a few items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")


class Failure:
    """What the step raised, on its way to the one who waits for the next item."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def overlap(items: Iterable[Item], *, ahead: int, name: str) -> Generator[Item]:
    """Yield `items` unchanged, made in a thread at most `ahead` items in advance, so that memory stays bounded.

    An error of the step is raised here, after the items before it. When the consumer stops early, the thread ends
    at its next item and is waited for.
    """
    done = object()
    ready: queue.Queue[object] = queue.Queue(maxsize=max(ahead, 1))
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

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

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if item is done:
                return
            if isinstance(item, Failure):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
