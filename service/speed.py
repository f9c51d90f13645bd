"""How fast a model is, from what its micro-batches took."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, Field

from models.model import Model

#: The row that a speed is told for: tokens of a text, steps of a sequence, an image.
TYPICAL = {"text": 128, "sequence": 32, "image": 1}


class Speed(BaseModel):
    """Rows a second of the arithmetic, one call after the other, as micro-batches of that shape took on this host."""

    rows_per_s: float
    length: int = Field(description="of each row: tokens of a text, steps of a sequence, 1 for an image")
    micro_batch_rows: int = Field(description="the micro-batch that is fastest, in rows")


def speed_of(model: Model) -> Speed | None:
    """The speed at the best micro-batch of typical rows; None of a model of which nothing was measured."""
    if not model.costs.are_known:
        return None
    length = min(TYPICAL[model.spec.inputs[0].kind], model.spec.max_length or 1 << 24)
    most = model.max_rows if model.max_padded is None else min(model.max_rows, max(model.max_padded // length, 1))
    rows = np.asarray([count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most] or [1])
    rates = rows / model.costs.seconds(rows, length)
    best = int(np.argmax(rates))
    return Speed(rows_per_s=round(float(rates[best]), 1), length=length, micro_batch_rows=int(rows[best]))
