"""Models whose rows bring down more than themselves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import MicroBatch
from tests.service.models import LetterModel


class DeadlyModel(LetterModel):
    """A model whose process ends over a row that says segfault or exit, and that never returns from hang."""

    tag = "deadly:1"
    spec = LetterModel.spec.model_copy(update={"name": "deadly"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        answers = super().forward(micro_batch)
        for text in self.computed[-micro_batch.rows :]:
            if text.startswith("segfault"):
                os.kill(os.getpid(), signal.SIGSEGV)
            if text.startswith("exit"):
                os._exit(7)
            while text.startswith("hang"):
                time.sleep(1)
        assert np.isfinite(answers["logits"]).all()
        return answers
