"""Windows: rows without end, cut into requests.

httpx sends a body to its end before it reads an answer: one request with all rows would wait for a server that waits
for its answers to be read. Windows are answered while later rows are not there yet, each may be repeated where it was
refused, and no more than a few are in hand.
"""

from __future__ import annotations

import time
from typing import Any

from service.client.rows import write_row

WINDOW_ROWS = 64
WINDOW_BYTES = 1 << 20
#: Windows that are on their way at once: one is answered while the next is read.
IN_FLIGHT = 2
#: A source that takes longer for a row is slow: what is there goes at once.
SLOW_S = 0.02


class Window:
    """Rows that go together; filled one row at a time."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size_bytes = 0
        self.is_slow = False
        self._asked = time.monotonic()

    def add(self, row: Any) -> None:
        """Put in a row, as soon as the source has given it.

        Raises:
            RowsInvalid: it cannot be sent.
        """
        line = write_row(row)
        self.lines.append(line)
        self.size_bytes += len(line)
        now = time.monotonic()
        self.is_slow, self._asked = now - self._asked > SLOW_S, now

    @property
    def is_full(self) -> bool:
        """Whether it is to be sent."""
        return self.is_slow or len(self.lines) >= WINDOW_ROWS or self.size_bytes >= WINDOW_BYTES
