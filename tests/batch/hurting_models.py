"""Models of an operator's own that some rows hurt: they raise, hang, end the process, or fill its memory.

A row's text is a number and what it does: `17 is fine`, `18 segfaults`. Every row is different, so that none is
answered by another's answer. Each call of the arithmetic is a line in the file that CALLS names: its process and its
rows.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.costs import Costs
from models.decode import decode_outputs
from models.errors import DeviceFailed
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault, Values
from models.spec import ModelSpec

CALLS = "TANDEM_TEST_CALLS"
#: What some rows do by now, whatever their text says: `17 is fine,18 segfaults`.
NOW = "TANDEM_TEST_NOW"
#: Where rows that hurt once only leave their mark.
MARKS = "TANDEM_TEST_MARKS"
DEEDS = (
    "is fine",
    "raises",
    "hangs",
    "segfaults",
    "exits",
    "hogs",
    "dies once",
    "sleeps",
    "stops once",
    "breaks the device",
    "holds the interpreter",
    "is missing",
    "hangs once",
)
HOG_BYTES = 4 << 30


class HurtingModel(Model):
    """Some rows hurt its arithmetic."""

    spec = ModelSpec.model_validate(
        {
            "name": "hurting",
            "family": "rnn",
            "task": "text-classification",
            "inputs": [{"name": "text", "kind": "text"}],
            "labels": ["even", "odd"],
        }
    )
    max_rows = 16

    def encode(self, values: Values) -> Encoded:
        read, rows, faults = [], [], {}
        for row, value in enumerate(values.to_pylist()):
            if value is None:
                faults[row] = RowFault(kind="NullValue", message="expected text, found null")
                continue
            number, _, deed = value.partition(" ")
            read.append([float(number), float(DEEDS.index(deed))])
            rows.append(row)
        return Encoded(
            rows=len(values),
            features={"read": np.asarray(read, np.float32).reshape(len(read), 2)},
            piece_rows=np.array(rows, np.int64),
            lengths=np.ones(len(rows), np.int64),
            truncated=np.zeros(len(values), np.bool_),
            faults=faults,
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        read = micro_batch.inputs["read"]
        note_call(read[:, 0])
        for number, deed in read:
            hurt(DEEDS[int(deed)], int(number))
        odd = read[:, 0] % 2
        return {"logits": np.stack([0.5 - odd, odd - 0.5], axis=1)}

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        return decode_outputs(self.spec, self.options, outputs, encoded)


class ManyAtOnce(HurtingModel):
    """Takes 512 rows in a call, of which each costs the same however many they are."""

    max_rows = 512

    def __init__(self) -> None:
        self.costs = Costs((1.0, 0.0, 0.0, 0.0))


class HurtingEncoder(HurtingModel):
    """Some rows hurt while they are encoded."""

    def encode(self, values: Values) -> Encoded:
        for value in values.to_pylist():
            number, _, deed = value.partition(" ")
            hurt(deed, int(number))
        return super().encode(values)

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        note_call(micro_batch.inputs["read"][:, 0])
        odd = micro_batch.inputs["read"][:, 0] % 2
        return {"logits": np.stack([0.5 - odd, odd - 0.5], axis=1)}


class HurtingDecoder(HurtingEncoder):
    """Some rows hurt while their answers are named."""

    def encode(self, values: Values) -> Encoded:
        return HurtingModel.encode(self, values)

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        for number, deed in encoded.features["read"]:
            hurt(DEEDS[int(deed)], int(number))
        return super().decode(outputs, encoded)


class ChangingModel(HurtingModel):
    """Its rows do what NOW says of each, or of `all`: it is not its files' fault."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        now = dict(said.split(" ", 1) for said in os.environ.get(NOW, "").split(",") if said)
        read = micro_batch.inputs["read"]
        for number, deed in read:
            hurt(now.get(str(int(number)), now.get("all", DEEDS[int(deed)])), int(number))
        odd = read[:, 0] % 2
        return {"logits": np.stack([0.5 - odd, odd - 0.5], axis=1)}


class AnyText(HurtingModel):
    """Any other text is fine too, such as those that come along to try a model with."""

    def encode(self, values: Values) -> Encoded:
        return super().encode(pa.array([text if text[:1].isdigit() else "0 is fine" for text in values.to_pylist()]))


class DyingModel(HurtingModel):
    """Ends its process at whatever row, as a broken device would."""

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        os._exit(0)


def hurt(deed: str, number: int) -> None:
    """Do what a row does."""
    if deed == "raises":
        raise ValueError(f"{number} is not to be answered")
    if deed == "is missing":
        raise LookupError(f"{number} is not there")
    if deed == "hangs":
        time.sleep(600)
    if deed == "holds the interpreter":
        re.match(r"(a+)+$", "a" * 60 + "!")
    if deed == "hangs once" and is_first(number):
        time.sleep(600)
    if deed == "segfaults":
        ctypes.string_at(0)
    if deed == "exits":
        os._exit(0)
    if deed == "breaks the device":
        raise DeviceFailed("cuda", reason="an illegal memory access was encountered")
    if deed == "hogs":
        np.ones(HOG_BYTES, np.uint8)
    if deed == "sleeps":
        time.sleep(0.05)
    if deed == "dies once" and is_first(number):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)  # the signal may be another thread's
    if deed == "stops once" and is_first(number):
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.1)  # the signal may be another thread's


def is_first(number: int) -> bool:
    """Whether this row was never met before, by whatever process."""
    mark = Path(os.environ[MARKS]) / str(number)
    if mark.exists():
        return False
    mark.touch()
    return True


def note_call(numbers: Sequence[float]) -> None:
    if CALLS in os.environ:
        with open(os.environ[CALLS], "a", encoding="ascii") as calls:
            calls.write(f"{os.getpid()} {' '.join(str(int(number)) for number in numbers)}\n")
