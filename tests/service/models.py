"""Small models of the tests' own, each named for its fault."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault
from models.spec import InputColumn, ModelSpec


class LetterModel(Model):
    """Says of a text whether its first letter is in the alphabet's first half; its answer depends on every letter."""

    spec = ModelSpec(
        name="letters",
        family="transformer",
        task="text-classification",
        inputs=(InputColumn(name="text", kind="text"),),
        labels=("early", "late"),
    )
    tag = "letters:1"
    digest = "letters-digest"

    def __init__(self) -> None:
        self.computed: list[str] = []

    def encode(self, values: Any) -> Encoded:
        good: list[int] = []
        faults: dict[int, RowFault] = {}
        for row, value in enumerate(values):
            if value is None:
                faults[row] = RowFault(kind="NullValue", message="the value is null")
            elif not isinstance(value, str):
                faults[row] = RowFault(kind="WrongType", message=f"expected text, found {value!r:.60}")
            else:
                good.append(row)
        ids = [np.frombuffer((values[row] or " ").encode("utf-32-le"), np.uint32).astype(np.int64) for row in good]
        return Encoded(
            rows=len(values),
            features={"ids": ids},
            piece_rows=np.asarray(good, np.int64),
            lengths=np.asarray([len(array) for array in ids], np.int64),
            truncated=np.zeros(len(values), np.bool_),
            faults=faults,
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        ids = micro_batch.inputs["ids"]
        self.computed += ["".join(map(chr, row[row > 0])) for row in ids]
        late = np.where(ids[:, 0] % 32 > 13, 2.0, -2.0) + ids.sum(axis=1) % 97 / 97
        return {"logits": np.stack([-late, late], axis=1).astype(np.float32)}

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return decode_outputs(self.spec, self.options, outputs, encoded)


class HeldModel(LetterModel):
    """A model that is busy for as long as the test wants it to be."""

    tag = "held:1"
    spec = LetterModel.spec.model_copy(update={"name": "held"})

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.busy = threading.Event()

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        self.busy.set()
        assert self.go.wait(60), "the test forgot to let the model go"
        return super().forward(micro_batch)


class PoisonModel(LetterModel):
    """A model whose arithmetic breaks on a row that says poison."""

    tag = "poison:1"
    spec = LetterModel.spec.model_copy(update={"name": "poison"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        answers = super().forward(micro_batch)
        if "poison" in self.computed[-micro_batch.rows :]:
            raise FloatingPointError("overflow over a poison row")
        return answers


class DroppingModel(LetterModel):
    """A model that silently returns one answer too few wherever a row says drop."""

    tag = "dropping:1"
    spec = LetterModel.spec.model_copy(update={"name": "dropping"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        answers = super().forward(micro_batch)
        if "drop" in self.computed[-micro_batch.rows :]:
            return {"logits": answers["logits"][:-1]}
        return answers


class BrokenModel(LetterModel):
    """A model whose decoding breaks down wherever a row says break: no row can be singled out."""

    tag = "broken:1"
    spec = LetterModel.spec.model_copy(update={"name": "broken"})

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        if self.computed and "break" in self.computed[-len(encoded.piece_rows) :]:
            raise ZeroDivisionError("decoding divided by nothing")
        return super().decode(outputs, encoded)


class RaisingEncoder(LetterModel):
    """A model whose encoding raises at a row that says poison, where it should be a fault of its row."""

    tag = "raising-encoder:1"
    spec = LetterModel.spec.model_copy(update={"name": "raising-encoder"})

    def encode(self, values: Any) -> Encoded:
        if "poison" in list(values):
            raise KeyError("poison")
        return super().encode(values)


class SlowModel(LetterModel):
    """20 ms for each micro-batch and 5 ms for each of its rows, at most 8: 133 rows a second and no more."""

    tag = "slow:1"
    spec = LetterModel.spec.model_copy(update={"name": "slow"})
    max_rows = 8

    def encode(self, values: Any) -> Encoded:
        encoded = super().encode(values)
        return Encoded(
            rows=encoded.rows,
            features=encoded.features,
            piece_rows=encoded.piece_rows,
            lengths=np.ones_like(encoded.lengths),
            truncated=encoded.truncated,
            faults=encoded.faults,
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        time.sleep(0.02 + 0.005 * micro_batch.rows)
        return super().forward(micro_batch)


class NaNModel(LetterModel):
    """A model that answers NaN where a row says nan."""

    tag = "nan:1"
    spec = LetterModel.spec.model_copy(update={"name": "nan"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        logits = super().forward(micro_batch)["logits"]
        logits[[text == "nan" for text in self.computed[-micro_batch.rows :]]] = np.nan
        return {"logits": logits}


class GatedModel(LetterModel):
    """A model in another process that is busy for as long as the file named by TANDEM_TEST_GATE is there."""

    tag = "gated:1"
    spec = LetterModel.spec.model_copy(update={"name": "gated"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        gate, ends = Path(os.environ["TANDEM_TEST_GATE"]), time.monotonic() + 60
        while gate.exists() and time.monotonic() < ends:
            time.sleep(0.005)
        return super().forward(micro_batch)


class SecondLetterModel(LetterModel):
    """The next version of LetterModel, which answers the other way round."""

    tag = "letters:2"
    digest = "letters-digest-2"

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": -super().forward(micro_batch)["logits"]}


class UnmakeableModel(LetterModel):
    """A model that breaks down on every row there is."""

    tag = "unmakeable:1"
    spec = LetterModel.spec.model_copy(update={"name": "unmakeable"})

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        raise ZeroDivisionError("in /srv/secret/place.py: nothing was divided")


class NeverFiniteModel(LetterModel):
    """A model that answers NaN whatever it is asked, as one does whose weights have overflown."""

    tag = "never-finite:1"
    spec = LetterModel.spec.model_copy(update={"name": "never-finite"})

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": super().forward(micro_batch)["logits"] * np.float32(np.nan)}


class EmbeddingModel(LetterModel):
    """Embeds a text as how often each of four letters is in it; breaks down where it says poison."""

    tag = "counts:1"
    spec = ModelSpec(
        name="counts",
        family="transformer",
        task="text-embedding",
        inputs=(InputColumn(name="text", kind="text"),),
        dimension=4,
    )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        ids = micro_batch.inputs["ids"]
        if any("".join(map(chr, row[row > 0])) == "poison" for row in ids):
            raise FloatingPointError("overflow over a poison row")
        counts = np.stack([(ids == ord(letter)).sum(axis=1) for letter in "abcd"], axis=1)
        return {"embedding": (counts / 3).astype(np.float32)}
