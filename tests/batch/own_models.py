"""Models of an operator's own for tests of the job: instantaneous, and some named for what is wrong with them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault, Values
from models.spec import ModelSpec

#: From so many words on a text has many.
MANY = 4


class WordCount(Model):
    """Says whether a text has few words or many."""

    spec = ModelSpec.model_validate(
        {
            "name": "word-count",
            "family": "rnn",
            "task": "text-classification",
            "inputs": [{"name": "text", "kind": "text"}],
            "labels": ["few", "many"],
        }
    )

    def encode(self, values: Values) -> Encoded:
        words: list[NDArray[np.float32]] = []
        rows: list[int] = []
        faults: dict[int, RowFault] = {}
        for row, value in enumerate(values.to_pylist()):
            if value is None:
                faults[row] = RowFault(kind="NullValue", message="expected text, found null")
            else:
                words.append(np.array([len(value.split())], np.float32))
                rows.append(row)
        return Encoded(
            rows=len(values),
            features={"words": words},
            piece_rows=np.array(rows, np.int64),
            lengths=np.ones(len(rows), np.int64),
            truncated=np.zeros(len(values), np.bool_),
            faults=faults,
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        words = micro_batch.inputs["words"][:, 0]
        return {"logits": np.stack([MANY - 0.5 - words, words - MANY + 0.5], axis=1)}

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return decode_outputs(self.spec, self.options, outputs, encoded)


class PoisonModel(WordCount):
    """Raises where thirteen words are among a micro-batch."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if (micro_batch.inputs["words"] == 13).any():
            raise ValueError("thirteen words are not to be counted")
        return super().forward(micro_batch)


class TalkativeModel(PoisonModel):
    """Raises with what it should keep to itself."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        key = os.environ["AWS_SECRET_ACCESS_KEY"]
        raise ValueError(f"GET https://b/k?X-Amz-Signature={key} {'.' * 430} secret_access_key={key} {key}")


class MendableModel(PoisonModel):
    """Raises at thirteen words until MENDED is set, and ends its process where WORSE is: it is not its files' fault."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if os.environ.get("MENDED"):
            return WordCount.forward(self, micro_batch)
        if os.environ.get("WORSE") and (micro_batch.inputs["words"] == 13).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(micro_batch)


class QuotingModel(WordCount):
    """Raises at every text, and says it."""

    def encode(self, values: Values) -> Encoded:
        encoded = super().encode(values)
        said = {row: RowFault(kind="Said", message=str(value) * 9) for row, value in enumerate(values.to_pylist())}
        rows = np.zeros(0, np.int64)
        return replace(encoded, features={"words": []}, piece_rows=rows, lengths=rows, faults=said)


class MendableVectors(MendableModel):
    """Answers with a vector of three numbers, and raises at thirteen words until MENDED is set."""

    spec = ModelSpec.model_validate(
        {
            "name": "vectors",
            "family": "transformer",
            "task": "text-embedding",
            "inputs": [{"name": "text", "kind": "text"}],
            "dimension": 3,
        }
    )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        super().forward(micro_batch)
        return {"vectors": micro_batch.inputs["words"] * np.array([1, 0.5, 1 / 3], np.float32)}


class NanModel(WordCount):
    """Answers thirteen words with no number."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        answers = super().forward(micro_batch)["logits"]
        return {"logits": np.where(micro_batch.inputs["words"] == 13, np.nan, answers)}


class DroppingModel(WordCount):
    """Loses the last row of every micro-batch."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        return {"logits": super().forward(micro_batch)["logits"][:-1]}


class RaisingEncoder(WordCount):
    """A text of thirteen words raises in `encode`, where it should be a fault of its row."""

    def encode(self, values: Values) -> Encoded:
        if any(value is not None and len(value.split()) == 13 for value in values.to_pylist()):
            raise KeyError("thirteen")
        return super().encode(values)


class InterruptingModel(WordCount):
    """Its code raises at thirteen words what Ctrl-C would."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if (micro_batch.inputs["words"] == 13).any():
            raise KeyboardInterrupt("thirteen")
        return super().forward(micro_batch)


class InterruptingEncoder(WordCount):
    """A text of thirteen words raises in `encode` what ends a generator."""

    def encode(self, values: Values) -> Encoded:
        if any(value is not None and len(value.split()) == 13 for value in values.to_pylist()):
            raise GeneratorExit("thirteen")
        return super().encode(values)


class RaisingDecoder(WordCount):
    """Raises where the answer to thirteen words is among those that are to be named."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        if any(words[0] == 13 for words in encoded.features["words"]):
            raise LookupError("thirteen")
        return super().decode(outputs, encoded)


class NanDecoder(WordCount):
    """Names a score of thirteen words that is no number."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        found = super().decode(outputs, encoded)
        scores = found.column("score").to_numpy(zero_copy_only=False).copy()
        for piece, row in enumerate(encoded.piece_rows):
            if encoded.features["words"][piece][0] == 13:
                scores[row] = np.inf
        return found.set_column(1, found.schema.field("score"), pa.array(scores, from_pandas=True))


class RaisingDecoderAlways(WordCount):
    """Breaks the contract: names nothing."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        raise KeyError("whatever")


class RaisingArithmetic(WordCount):
    """Its arithmetic answers nothing, as where a library is broken."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        raise RuntimeError("whatever")


class OtherColumns(WordCount):
    """Breaks the contract: answers without the column that says what is wrong with a row."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return super().decode(outputs, encoded).drop_columns(["error"])


class NothingNamed(WordCount):
    """Breaks the contract: answers nothing."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return None


class RaisingAlways(WordCount):
    """Breaks the contract: encodes nothing."""

    def encode(self, values: Values) -> Encoded:
        raise KeyError("whatever")


class FarSightedModel(WordCount):
    """Counts windows, those decoded, how many are encoded and not yet decoded, and the most rows that one had."""

    windows = decoded = waiting = most_waiting = most_rows = 0

    def encode(self, values: Values) -> Encoded:
        kind = type(self)
        kind.windows += 1
        kind.waiting += 1
        kind.most_waiting = max(kind.most_waiting, kind.waiting)
        kind.most_rows = max(kind.most_rows, len(values))
        return super().encode(values)

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        type(self).waiting -= 1
        type(self).decoded += 1
        return super().decode(outputs, encoded)


class ConstantModel(WordCount):
    """Says of every text that it has many words, so that a job's time and memory are those of its rows."""

    def encode(self, values: Values) -> Encoded:
        rows = len(values)
        return Encoded(
            rows=rows,
            features={"words": np.full((rows, 1), MANY, np.float32)},
            piece_rows=np.arange(rows),
            lengths=np.ones(rows, np.int64),
            truncated=np.zeros(rows, np.bool_),
        )


class HungryModel(ConstantModel):
    """Its arithmetic needs HUNGER bytes for each row."""

    HUNGER = 8 << 20
    max_rows = 32

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        np.ones(micro_batch.rows * self.HUNGER, np.uint8)
        return super().forward(micro_batch)


class KeepingModel(HungryModel):
    """Keeps the memory of its largest call for the next one, as a runtime's arena does."""

    kept: NDArray[np.uint8] | None = None

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if self.kept is None or len(self.kept) < micro_batch.rows * self.HUNGER:
            self.kept = np.ones(micro_batch.rows * self.HUNGER, np.uint8)
        return ConstantModel.forward(self, micro_batch)


class BulkyModel(ConstantModel):
    """Its rows are pictures of ARRAY bytes each, however small their files are."""

    ARRAY = 1 << 20
    spec = ModelSpec.model_validate(
        {
            "name": "bulky",
            "family": "cnn",
            "task": "image-classification",
            "inputs": [{"name": "image", "kind": "image"}],
            "labels": ["few", "many"],
            "preprocess": {},
        }
    )

    def encode(self, values: Values) -> Encoded:
        encoded = super().encode(values)
        return replace(encoded, features={"words": np.zeros((len(values), self.ARRAY // 4), np.float32)})


class ManyFaults(WordCount):
    """Finds every text at fault, as its first word says."""

    def encode(self, values: Values) -> Encoded:
        texts = values.to_pylist()
        return Encoded(
            rows=len(texts),
            features={"words": np.zeros((0, 1), np.float32)},
            piece_rows=np.zeros(0, np.int64),
            lengths=np.zeros(0, np.int64),
            truncated=np.zeros(len(texts), np.bool_),
            faults={row: RowFault(kind=text.split()[0], message=text) for row, text in enumerate(texts)},
        )


class EchoModel(ConstantModel):
    """Breaks its promise: the label is the text, so that there is no end of labels."""

    def encode(self, values: Values) -> Encoded:
        self.waiting = [*getattr(self, "waiting", []), values]
        return super().encode(values)

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        found = super().decode(outputs, encoded)
        return found.set_column(0, "label", pa.array(self.waiting.pop(0).to_pylist(), pa.string()))


class StillbornModel(WordCount):
    """Its process is killed wherever it is made."""

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class LeavingModel(WordCount):
    """Its code ends the process at a row of thirteen words."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if (micro_batch.inputs["words"] == 13).any():
            raise SystemExit(0)
        return super().forward(micro_batch)


class VanishingModel(WordCount):
    """Its code ends the process without a word."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        os._exit(0)


class SlowEncoder(WordCount):
    """Takes a while to encode a window."""

    def encode(self, values: Values) -> Encoded:
        time.sleep(0.05)
        return super().encode(values)


class SlowArithmetic(WordCount):
    """Takes a while over a micro-batch."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        time.sleep(0.05)
        return super().forward(micro_batch)


class SlowRows(WordCount):
    """Takes a while over every row, and says in a file of $BEGUN that it has begun."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if "BEGUN" in os.environ:
            Path(os.environ["BEGUN"]).touch()
        time.sleep(0.02 * len(micro_batch.inputs["words"]))
        return super().forward(micro_batch)


class SlowDecoder(WordCount):
    """Takes a while to name the answers of a window."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        time.sleep(0.05)
        return super().decode(outputs, encoded)
