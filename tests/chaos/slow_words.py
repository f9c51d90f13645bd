"""A model that is slow enough to be killed in the middle, and notes what it was asked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from models.model import MicroBatch
from tests.batch.own_models import WordCount

#: The environment's name for the file of notes.
NOTES = "TANDEM_CHAOS_NOTES"
PAUSE_S = 0.004
#: A text of so many words raises.
POISON = 13


class SlowWords(WordCount):
    """Counts words at its leisure; each call appends `process words words ...` to the notes, in one write."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        words = micro_batch.inputs["words"][:, 0].astype(int).tolist()
        with open(os.environ[NOTES], "ab", buffering=0) as notes:
            notes.write((" ".join(map(str, [os.getpid(), *words])) + "\n").encode())
        time.sleep(PAUSE_S * len(words))
        if POISON in words:
            raise ValueError("thirteen words are not to be counted")
        return super().forward(micro_batch)
