"""Models whose answers tell whose they are, and one that answers with vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import MicroBatch
from models.spec import ModelSpec
from tests.batch.own_models import WordCount


class Contrary(WordCount):
    """Says few where WordCount says many, and the other way round."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": -np.asarray(super().forward(micro_batch)["logits"])}


class Mendable(WordCount):
    """Raises at texts of seven words, until the file that MENDED names is there."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if (micro_batch.inputs["words"] == 7).any() and not os.path.exists(os.environ.get("MENDED", "")):
            raise ValueError("seven words are too many")
        return super().forward(micro_batch)


class Vectors(WordCount):
    """Answers with 256 random numbers."""

    spec = ModelSpec.model_validate(
        {
            "name": "vectors",
            "family": "transformer",
            "task": "text-embedding",
            "inputs": [{"name": "text", "kind": "text"}],
            "dimension": 256,
        }
    )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        words = micro_batch.inputs["words"][:, 0]
        numbers = np.random.default_rng(int(words.sum())).normal(size=(len(words), 256))
        return {"embedding": numbers.astype(np.float32)}


CONTRARY = "tests.batch.table.models:Contrary"
MENDABLE = "tests.batch.table.models:Mendable"
VECTORS = "tests.batch.table.models:Vectors"
