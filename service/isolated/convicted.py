"""Convicted: the rows over which the model's process ended, or never returned; they are not tried again for an hour."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from models.model import RowFault
from service.schemas import Answer, error_answer

#: Rows that are remembered; the one that was met longest ago goes first.
MOST = 1000
#: After so long a row is tried again: what was its end may have been the machine's fault.
KEEP_S = 3600.0


class Convicted:
    """Rows by their digest, each with the error row that it is answered with. Costs nothing while there are none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()
        self._spared: OrderedDict[bytes, None] = OrderedDict()

    def find(self, value: Any) -> Answer | None:
        """The answer to a row that is known."""
        if not self._answers:
            return None
        key = digest_of(value)
        until, answer = self._answers.get(key, (0.0, None))
        if answer is None or until <= self._clock():
            self._answers.pop(key, None)
            return None
        self._answers.move_to_end(key)
        return answer

    def add(self, value: Any, fault: RowFault) -> Answer:
        """Remember a row, and answer it."""
        answer = error_answer(fault)
        self._answers[digest_of(value)] = self._clock() + KEEP_S, answer
        if len(self._answers) > MOST:
            self._answers.popitem(last=False)
        return answer

    def spare(self, value: Any) -> bool:
        """Whether a row of a window that ended a process, for which nobody waits, is let go untried: every other time.

        Who gives up before the patience does, and asks again, would else end a process each time, and never be told.
        """
        key = digest_of(value)
        if key in self._spared:
            del self._spared[key]
            return False
        self._spared[key] = None
        if len(self._spared) > MOST:
            self._spared.popitem(last=False)
        return True


def digest_of(value: Any) -> bytes:
    return hashlib.sha256(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)).digest()
