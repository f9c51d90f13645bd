"""Naming answers around rows at fault: whatever raises or is no number, the other rows keep their answers."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from models.decode_isolated import decode_isolated
from models.model import Encoded, Outputs, RowFault
from models.ragged import Ragged
from tests.batch.command import ROOT
from tests.batch.own_models import MendableVectors, RaisingDecoder, WordCount

#: Rows of so many pieces each, as long texts have in chunks; row 2 is at fault.
PIECES = (1, 3, 0, 2, 1, 1)


def window(words: NDArray[Any], *, ragged: bool = False) -> tuple[Outputs, Encoded]:
    """A window of as many pieces as there are `words`, cut into the rows that PIECES says."""
    arrays = list(words.astype(np.float32)[:, None])
    encoded = Encoded(
        rows=len(PIECES),
        features={"words": Ragged.join(arrays) if ragged else arrays},
        piece_rows=np.repeat(np.arange(len(PIECES)), PIECES),
        lengths=np.ones(len(words), np.int64),
        truncated=np.arange(len(PIECES)) % 2 == 0,
        faults={2: RowFault(kind="NullValue", message="null")},
    )
    return Outputs(arrays={"logits": np.stack([-words, words], axis=1)}), encoded


def classes(named: pa.RecordBatch) -> list[str | None]:
    return [error and error["class"] for error in named.column("error").to_pylist()]


@pytest.mark.parametrize("ragged", [False, True])
def test_a_row_that_raises_leaves_every_other_its_own_answer(ragged: bool) -> None:
    words = np.array([1, -1, -2, -3, 13, 2, -1, 3])
    named = decode_isolated(RaisingDecoder(), *window(words, ragged=ragged))
    assert classes(named) == [None, None, "NullValue", "LookupError", None, None]
    assert named.column("label").to_pylist() == ["many", "few", None, None, "few", "many"]
    assert named.column("truncated").to_pylist() == [True, False] * 3
    whole = WordCount().decode(*window(words))
    kept = pa.array([0, 1, 2, 4, 5])
    assert named.take(kept).equals(whole.take(kept))


class Counting(RaisingDecoder):
    """Counts its calls."""

    calls = 0

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        self.calls += 1
        return super().decode(outputs, encoded)


def test_a_row_that_raises_costs_few_calls() -> None:
    rows = 512
    words = np.where(np.arange(rows) == 300, 13, 1)
    encoded = Encoded(
        rows=rows,
        features={"words": words.astype(np.float32)[:, None]},
        piece_rows=np.arange(rows),
        lengths=np.ones(rows, np.int64),
        truncated=np.zeros(rows, np.bool_),
    )
    model = Counting()
    named = decode_isolated(model, Outputs(arrays={"logits": np.zeros((rows, 2))}), encoded)
    assert [row for row, kind in enumerate(classes(named)) if kind] == [300]
    assert model.calls <= 4 * math.log2(rows)


class Vectors(MendableVectors):
    """Names a vector for each row, of its first piece's words; without end at 13."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        words = {int(row): encoded.features["words"][piece][0] for piece, row in enumerate(encoded.piece_rows)}
        numbers = [math.nan if words.get(row) == 13 else words.get(row, 0.0) for row in range(encoded.rows)]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(np.float32(numbers), 3)), 3)
        faults = [{"class": "NullValue", "message": "", "attempts": 1} if row == 2 else None for row in range(6)]
        columns = [vectors, pa.array(encoded.truncated), pa.array(faults, self.schema.field("error").type)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def test_a_vector_with_nan_is_an_error_row() -> None:
    named = decode_isolated(Vectors(), *window(np.array([1, 1, 1, 1, 3, 13, 5, 6])))
    assert classes(named) == [None, None, "NullValue", "NonFiniteOutput", None, None]
    assert named.column(0).to_pylist()[3:] == [None, [5] * 3, [6] * 3]


class EndlessScores(WordCount):
    """Its scores by label are without end in row 4; beneath the null of row 2 too."""

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        found = super().decode(outputs, encoded)
        scores = found.column("scores")
        numbers = scores.items.to_numpy().copy()
        numbers[scores.offsets[4].as_py()] = math.inf
        mask = scores.is_null()
        kind = found.schema.field("scores").type
        scores = pa.MapArray.from_arrays(scores.offsets, scores.keys, pa.array(numbers), type=kind, mask=mask)
        return found.set_column(2, found.schema.field("scores"), scores)


def test_scores_without_end_are_an_error_row() -> None:
    named = decode_isolated(EndlessScores(), *window(np.arange(8)))
    assert classes(named) == [None, None, "NullValue", None, "NonFiniteOutput", None]
    assert named.column("scores")[4].as_py() is None
    assert named.column("label")[4].as_py() is None


class InterruptedDecoder(WordCount):
    """Somebody presses Ctrl-C, once, while it names answers."""

    presses = 1

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        if self.presses:
            self.presses = 0
            signal.raise_signal(signal.SIGINT)
        return super().decode(outputs, encoded)


_PRESSED = """
import numpy as np
from models.decode_isolated import decode_isolated
from tests.models.test_decode_isolated import InterruptedDecoder, window
try:
    decode_isolated(InterruptedDecoder(), *window(np.arange(8)))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_no_rows_fault() -> None:
    ended = subprocess.run([sys.executable, "-c", _PRESSED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "interrupted\n", ended.stderr
