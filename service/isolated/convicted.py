"""Convicted: the rows over which the model's process ended, or never returned; they are not tried again."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from typing import Any

from models.model import RowFault
from service.schemas import Answer, error_answer

#: Rows that are remembered; the one that was met longest ago goes first.
MOST = 1000


class Convicted:
    """Rows by their digest, each with the error row that it is answered with. Costs nothing while there are none."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def find(self, value: Any) -> Answer | None:
        """The answer to a row that is known."""
        if not self._answers:
            return None
        key = digest_of(value)
        if key in self._answers:
            self._answers.move_to_end(key)
        return self._answers.get(key)

    def add(self, value: Any, fault: RowFault) -> Answer:
        """Remember a row, and answer it."""
        answer = self._answers[digest_of(value)] = error_answer(fault)
        if len(self._answers) > MOST:
            self._answers.popitem(last=False)
        return answer


def digest_of(value: Any) -> bytes:
    return hashlib.sha256(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)).digest()
