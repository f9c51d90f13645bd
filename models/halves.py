"""Halves: which rows of a window raise, found by calls of ever fewer of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import ModelError, is_interrupt
from models.model import RowFault


def find_raising(
    rows: Sequence[int], call: Callable[[Sequence[int]], object], fatal: tuple[type[Exception], ...] = (ModelError,)
) -> dict[int, RowFault]:
    """The rows that raise alone: for each, at most 2 * log2(rows) calls.

    Args:
        rows: that raised together.
        call: does with some of them, ascending, what raised.
        fatal: errors that are no row's fault.
    """
    faults: dict[int, RowFault] = {}
    pending = halves(rows) if len(rows) > 1 else [rows]
    while pending:
        part = pending.pop()
        if not len(part):
            continue
        try:
            call(part)
        except fatal:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            if len(part) == 1:
                faults[int(part[0])] = RowFault(kind=type(error).__name__, message=str(error))
            else:
                pending += halves(part)
    return faults


def halves(rows: Sequence[int]) -> list[Sequence[int]]:
    """The second half first, as it is popped last."""
    return [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
