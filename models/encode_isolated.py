"""Encode isolated: encode a window around rows that hurt: they are at fault, in their places; others are encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from models.errors import ContractBroken, ModelError, PredictionMismatch, is_interrupt
from models.halves import find_raising
from models.model import Encoded, Model, RowFault, Values

if TYPE_CHECKING:  # which encodes rows of its own
    from models.blame import Blame

#: The model is shown every row.
NOBODY: Mapping[int, RowFault] = {}


def encode_isolated(
    model: Model,
    values: Values,
    poison: Mapping[int, RowFault] = NOBODY,
    *,
    blame: Blame | None = None,
    fatal: tuple[type[Exception], ...] = (ModelError,),
    watched: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Encoded:
    """Encode the values of a window; those that raise are found by halves, and become faults.

    Args:
        model: whose `encode` is called.
        values: the window.
        poison: rows that the model is not shown: position in the window -> the fault that they end with.
        blame: judges whether it is the rows that raise; None: it always is.
        fatal: errors that are no row's fault.
        watched: makes what is around each call of `encode`: a window with rows that raise takes several.

    Raises:
        Exception: what the model raised, where rows raise only together.
        ContractBroken: it is the model that raises, and not the rows.
        PredictionMismatch: it encoded another number of rows than it was given.
    """
    raised: Mapping[int, RowFault] = NOBODY
    try:
        with watched():
            encoded = encode_around(model, values, poison)
    except fatal:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        rows = [row for row in range(len(values)) if row not in poison]

        def encode_part(part: Sequence[int]) -> None:
            with watched():
                model.encode(take_values(values, part))

        raised = find_raising(rows, encode_part, fatal)
        with watched():
            encoded = encode_around(model, values, {**raised, **poison})
    if blame is not None:
        with watched():
            blame.judge(model, "encode", [*raised.values()], has_passed=len(encoded.piece_rows) > 0)
    return encoded


def encode_around(model: Model, values: Values, faults: Mapping[int, RowFault]) -> Encoded:
    """Encode all rows but some.

    Raises:
        ContractBroken: the model answered with something else than an Encoded.
        PredictionMismatch: it encoded another number of rows than it was given.
    """
    kept = np.setdiff1d(np.arange(len(values)), list(faults))
    if len(kept) or not faults:
        others = model.encode(take_values(values, kept.tolist()) if faults else values)
    else:
        others = encode_none(model, values)
    found: object = others  # an operator's class may return anything
    if not isinstance(found, Encoded):
        promise = "encode answers with an Encoded"
        raise ContractBroken(model.tag, promise=promise, found=f"an object of type {type(found).__name__}")
    if others.rows != len(kept):
        raise PredictionMismatch(model.tag, given=len(kept), got=others.rows)
    if not faults:
        return others
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


def encode_none(model: Model, values: Values) -> Encoded:
    """No rows of the kind of these, encoded; without features where the model raises even then."""
    try:
        return model.encode(take_values(values, []))
    except ModelError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        none = np.zeros(0, np.int64)
        return Encoded(rows=0, features={}, piece_rows=none, lengths=none, truncated=np.zeros(0, np.bool_))


def take_values(values: Values, rows: Sequence[int]) -> Any:
    """Some of the values, as the kind of thing that they are."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.take(pa.array(rows, pa.int64()))
    return [values[row] for row in rows]
