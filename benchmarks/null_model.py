"""A model that answers a constant: what is left of a job's time is reading, planning, writing and committing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault
from models.spec import InputColumn, ModelSpec

#: Softmax of these is 0.75 and 0.25.
LOGITS = np.log(np.array([[0.75, 0.25]], np.float32))


class NullModel(Model):
    """Texts in, the label `constant` out; the text's length in bytes is all that is looked at."""

    spec = ModelSpec(
        name="null",
        family="transformer",
        task="text-classification",
        inputs=(InputColumn(name="text", kind="text"),),
        labels=("constant", "other"),
    )
    tag = "null:1"
    max_rows = 1 << 20

    def encode(self, values: Any) -> Encoded:
        """One number a row."""
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
        is_null = column.is_null().to_numpy(zero_copy_only=False)
        nulls, good = np.flatnonzero(is_null), np.flatnonzero(~is_null)
        sizes = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)[good]
        return Encoded(
            rows=len(column),
            features={"size": sizes.reshape(-1, 1)},
            piece_rows=good,
            lengths=np.ones(len(good), np.int64),
            truncated=np.zeros(len(column), np.bool_),
            faults={int(row): RowFault(kind="NullValue", message="expected a text, found null") for row in nulls},
        )

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        """The constant."""
        return {"logits": np.repeat(LOGITS, micro_batch.rows, axis=0)}

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        """As every classifier."""
        return decode_outputs(self.spec, self.options, outputs, encoded)
