"""Overtaken: where machines help one another, a shard whose part appears meanwhile is left, and its rest not run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from batch.predict import PredictedRows
from batch.stores.storage import Store

#: Seconds of work on a shard after which it is looked whether its part is there by now; a request each.
LOOK_S = 5.0


class Overtaken(Exception):
    """The shard in hand has its part; never leaves `complete_shard`.

    Args:
        rows: that had been answered for nothing.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


def leave_when_there(
    windows: Iterable[PredictedRows], target: Store, key: str, *, every_s: float = LOOK_S
) -> Iterator[PredictedRows]:
    """Pass windows on as long as the part is not there.

    Raises:
        Overtaken: somebody else has put it.
    """
    rows, looked = 0, time.monotonic()
    for window in windows:
        yield window
        rows += window.rows.num_rows
        if time.monotonic() - looked >= every_s:
            if target.head(key) is not None:
                raise Overtaken(rows)
            looked = time.monotonic()
