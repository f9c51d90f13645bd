"""A model for jobs that are to be met while they run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa

from models.model import Encoded, Values
from tests.batch.own_models import WordCount


class GatedWordCount(WordCount):
    """Counts words; a text that says `wait NAME` is not encoded before the file NAME is in the folder JOBS_GATES."""

    def encode(self, values: Values) -> Encoded:
        texts = values if isinstance(values, list) else values.to_pylist()  # over HTTP, and of a job
        for value in texts:
            if value is not None and value.startswith("wait "):
                gate, ends = Path(os.environ["JOBS_GATES"]) / value.split()[1], time.monotonic() + 300
                while not gate.exists() and time.monotonic() < ends:
                    time.sleep(0.01)
        return super().encode(pa.array(texts, pa.string()))
