"""Isolate: encode a window around rows that hurt; they are at fault, in their places, and the others are encoded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from batch.errors import JobError
from models.errors import ModelError, PredictionMismatch, is_interrupt
from models.model import Encoded, Model, RowFault


def encode_isolated(model: Model, values: pa.Array, poison: Mapping[int, RowFault]) -> Encoded:
    """Encode the values of a window; those that raise are found by halves, and become faults.

    Args:
        model: whose `encode` is called.
        values: the window.
        poison: rows that the model is not shown: position in the window -> the fault that they end with.

    Raises:
        Exception: what the model raised, where it raises for every row, or for some only together.
        PredictionMismatch: it encoded another number of rows than it was given.
    """
    try:
        return encode_around(model, values, poison)
    except (JobError, ModelError):
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        faults = find_raising(model, values, poison)
        if len(faults) + len(poison) == len(values) > 1:  # then it is not the rows
            raise
        return encode_around(model, values, {**faults, **poison})


def encode_around(model: Model, values: pa.Array, faults: Mapping[int, RowFault]) -> Encoded:
    """Encode all rows but some."""
    if not faults:
        return model.encode(values)
    kept = np.setdiff1d(np.arange(len(values)), list(faults))
    others = model.encode(values.take(pa.array(kept)))
    if others.rows != len(kept):
        raise PredictionMismatch(model.tag, given=len(kept), got=others.rows)
    truncated = np.zeros(len(values), np.bool_)
    truncated[kept] = others.truncated
    return Encoded(
        rows=len(values),
        features=others.features,
        piece_rows=kept[others.piece_rows].astype(np.int64),
        lengths=others.lengths,
        truncated=truncated,
        faults={**faults, **{int(kept[row]): fault for row, fault in others.faults.items()}},
    )


def find_raising(model: Model, values: pa.Array, poison: Mapping[int, RowFault]) -> dict[int, RowFault]:
    """The rows that raise when they are encoded alone: for each, at most 2 * log2(rows) calls."""
    faults: dict[int, RowFault] = {}
    rows = [row for row in range(len(values)) if row not in poison]
    pending = [rows[len(rows) // 2 :], rows[: len(rows) // 2]] if len(rows) > 1 else [rows]
    while pending:
        part = pending.pop()
        if not part:
            continue
        try:
            model.encode(values.take(pa.array(part)))
        except (JobError, ModelError):
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            if len(part) == 1:
                faults[part[0]] = RowFault(kind=type(error).__name__, message=str(error))
            else:
                pending += [part[len(part) // 2 :], part[: len(part) // 2]]
    return faults
