"""An operator's own class: sentiment by a list of words. And classes that each break one promise, named for it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault, Values
from models.spec import InputColumn, ModelSpec

GOOD = {"good", "excellent", "wonderful", "brilliant", "loved", "cheap", "won"}
BAD = {"bad", "terrible", "boring", "awful", "hated", "fell", "lost"}


class SentimentModel(Model):
    """Good words minus bad ones."""

    spec = ModelSpec(
        name="own-sentiment",
        family="transformer",
        task="text-classification",
        inputs=(InputColumn(name="text", kind="text"),),
        labels=("negative", "positive"),
    )

    def encode(self, values: Values) -> Encoded:
        texts = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)
        good = [row for row, text in enumerate(texts) if isinstance(text, str)]
        counts = [np.array([count(texts[row], BAD), count(texts[row], GOOD)], np.float32) for row in good]
        return Encoded(
            rows=len(texts),
            features={"counts": counts},
            piece_rows=np.array(good, dtype=np.int64),
            lengths=np.ones(len(good), dtype=np.int64),
            truncated=np.zeros(len(texts), dtype=np.bool_),
            faults={
                row: RowFault(kind="WrongType", message=f"expected text, found {type(text).__name__}")
                for row, text in enumerate(texts)
                if not isinstance(text, str)
            },
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": micro_batch.inputs["counts"]}

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return decode_outputs(self.spec, self.options, outputs, encoded)


def count(text: str, words: set[str]) -> int:
    return sum(word.strip(".,;!?").lower() in words for word in text.split())


class ShufflingModel(SentimentModel):
    """Answers the happiest row first."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        answers = super().decode(outputs, encoded)
        scores = [dict(scores or ()).get("positive", 0.0) for scores in answers.column("scores").to_pylist()]
        return answers.take(pa.array(np.argsort(scores, kind="stable")))


class DroppingModel(SentimentModel):
    """Has no answer for a bad row, not even an error."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        answers = super().decode(outputs, encoded)
        return answers.filter(answers.column("error").is_null())


class SwallowingModel(SentimentModel):
    """Returns one answer for a micro-batch of many."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": micro_batch.inputs["counts"][:1]}


class BatchMateModel(SentimentModel):
    """Sees a row in the light of its batch-mates, as batch normalisation left in training mode does."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        counts = micro_batch.inputs["counts"]
        return {"logits": counts - counts.mean(axis=0)}


class RaisingModel(SentimentModel):
    """Takes every row for text."""

    def encode(self, values: Values) -> Encoded:
        for text in values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else values:
            text.split()
        return super().encode(values)


class GuessingModel(SentimentModel):
    """Has an answer to everything."""

    def encode(self, values: Values) -> Encoded:
        texts = values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else values
        return super().encode([str(text) for text in texts])


class MoodyModel(SentimentModel):
    """Has changed its mind by the next call."""

    def __init__(self) -> None:
        self.moods = itertools.count()

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": micro_batch.inputs["counts"] + [0, next(self.moods) % 7]}


class NarrowModel(SentimentModel):
    """Leaves a declared column out."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return super().decode(outputs, encoded).drop_columns(["truncated"])


class EmptyHandedModel(SentimentModel):
    """Cannot do nothing."""

    def encode(self, values: Values) -> Encoded:
        encoded = super().encode(values)
        if not encoded.rows:
            raise IndexError("list index out of range")
        return encoded


class ListsOnlyModel(SentimentModel):
    """Was never given an Arrow column, whose scalars are no str."""

    def encode(self, values: Values) -> Encoded:
        return super().encode(list(values))


class NotANumberModel(SentimentModel):
    """Answers what it should not have: half a score is no score."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        answers = super().decode(outputs, encoded)
        scores = pa.array([float("nan")] * answers.num_rows, pa.float32())
        return answers.set_column(1, "score", scores)


class ContagiousModel(SentimentModel):
    """Gives up on all rows where one is bad."""

    def encode(self, values: Values) -> Encoded:
        encoded = super().encode(values)
        if not encoded.faults:
            return encoded
        fault = RowFault(kind="WrongType", message="some row is no text")
        nothing = np.zeros(0, dtype=np.int64)
        return replace(
            encoded, features={"counts": []}, piece_rows=nothing, lengths=nothing,
            faults=dict.fromkeys(range(encoded.rows), fault),
        )  # fmt: skip
