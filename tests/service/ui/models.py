"""A small model whose answers are vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import MicroBatch
from models.spec import InputColumn, ModelSpec
from tests.service.models import LetterModel

DIMENSION = 26


class VectorModel(LetterModel):
    """A text's vector is how often it has each letter, less the mean: texts of like letters are alike."""

    tag = "letter-vectors:1"
    digest = "letter-vectors-digest"
    spec = ModelSpec(
        name="letter-vectors",
        family="transformer",
        task="text-embedding",
        inputs=(InputColumn(name="text", kind="text"),),
        dimension=DIMENSION,
    )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        letters = micro_batch.inputs["ids"] | 32
        counts = np.stack([(letters == ord("a") + place).sum(axis=1) for place in range(DIMENSION)], axis=1)
        spread = counts - counts.mean(axis=1, keepdims=True)
        return {"embedding": (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)}
