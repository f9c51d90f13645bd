"""In flight: what is on its way between two steps is bounded in bytes, however wide it is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pyarrow as pa

from batch.predict import PredictedRows

Item = TypeVar("Item")


class InFlight:
    """Holds back the step that lets windows in while those that have not left are too many bytes.

    Around the whole journey it bounds the rows that are read and not yet written; around the queue before the writer,
    the answers in it. Windows leave in the order in which they came, whole or in slices.
    """

    def __init__(self, bound_bytes: int, *, windows: int | None = None, small_bytes: int = 0) -> None:
        """Let in what is `bound_bytes` together, and of more than `windows` only what is `small_bytes` together."""
        self._bound_bytes = bound_bytes
        self._windows = windows
        self._small_bytes = small_bytes
        self._changed = threading.Condition()
        self._waiting: deque[list[int]] = deque()
        self._is_closed = False
        self.held_bytes = 0

    def admit(self, windows: Iterable[Item], measured: Callable[[Item], pa.RecordBatch]) -> Iterator[Item]:
        """Pass windows on, each once there is room for what is measured of it, or nothing else is on its way."""
        for window in windows:
            batch = measured(window)
            size = batch.nbytes
            with self._changed:
                while not (self._is_closed or self._has_room(size)):
                    self._changed.wait()
                if self._is_closed:
                    return
                self._waiting.append([batch.num_rows, size])
                self.held_bytes += size
            yield window

    def release(self, windows: Iterable[PredictedRows]) -> Iterator[PredictedRows]:
        """Pass windows on, and let others in when whoever takes them comes for the next one."""
        for window in windows:
            yield window
            with self._changed:
                first = self._waiting[0]
                first[0] -= window.rows.num_rows
                if first[0] <= 0:
                    self.held_bytes -= self._waiting.popleft()[1]
                    self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        are_few = self._windows is None or len(self._waiting) < self._windows
        bound_bytes = self._bound_bytes if are_few else min(self._bound_bytes, self._small_bytes)
        return not self._waiting or self.held_bytes + size <= bound_bytes

    def close(self) -> None:
        """Nothing is let in any more, and who waits is let go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
