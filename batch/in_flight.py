"""In flight: the rows between reading and writing are bounded in bytes, however wide they are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator

import pyarrow as pa

from batch.predict import PredictedRows, Spent


class InFlight:
    """Holds back the reader while the rows that are read and not yet written are too many bytes.

    Windows leave in the order in which they came, whole or in slices.
    """

    def __init__(self, bound_bytes: int) -> None:
        self._bound_bytes = bound_bytes
        self._changed = threading.Condition()
        self._waiting: deque[list[int]] = deque()
        self._is_closed = False
        self.held_bytes = 0

    def admit(self, windows: Iterable[tuple[pa.RecordBatch, Spent]]) -> Iterator[tuple[pa.RecordBatch, Spent]]:
        """Pass windows on, each once there is room for it, or nothing else is on its way."""
        for rows, spent in windows:
            size = rows.nbytes
            with self._changed:
                while not (self._is_closed or not self._waiting or self.held_bytes + size <= self._bound_bytes):
                    self._changed.wait()
                if self._is_closed:
                    return
                self._waiting.append([rows.num_rows, size])
                self.held_bytes += size
            yield rows, spent

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

    def close(self) -> None:
        """Nothing is let in any more, and who waits is let go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
