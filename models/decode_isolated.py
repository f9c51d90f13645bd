"""Decode isolated: name a window's answers around the rows whose naming raises, or whose answers are no numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.decode import NON_FINITE, error_column
from models.errors import ContractBroken, ModelError, PredictionMismatch, is_interrupt
from models.halves import find_raising
from models.model import Encoded, Feature, Model, Outputs, RowFault
from models.ragged import Ragged
from models.say import say_schema

if TYPE_CHECKING:  # which names answers of its own
    from models.blame import Blame


def decode_isolated(
    model: Model,
    outputs: Outputs,
    encoded: Encoded,
    *,
    blame: Blame | None = None,
    watched: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> pa.RecordBatch:
    """Name the answers of a window; rows that raise are found by halves, and they and those not finite are at fault.

    Args:
        model: whose `decode` is called.
        outputs: the arithmetic's answers.
        encoded: the window.
        blame: judges whether it is the rows that raise; None: it always is.
        watched: makes what is around each call of `decode`: a window with rows that raise takes several.

    Returns:
        One row for each row of `encoded`, in its order.

    Raises:
        Exception: what the model raised, where rows raise only together.
        ContractBroken: it is the model that raises, and not the rows; or it answered with something else than a
            RecordBatch of the declared schema.
        PredictionMismatch: it answered another number of rows than it was given.
    """
    raised: Mapping[int, RowFault] = {}

    def decode_part(part: Sequence[int]) -> pa.RecordBatch:
        with watched():
            return decode_whole(model, *take_rows(outputs, encoded, np.array(part)))

    try:
        with watched():
            named = decode_whole(model, outputs, encoded)
    except ModelError:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        rows = list(range(encoded.rows))
        raised = find_raising(rows, decode_part)
        kept = np.setdiff1d(np.arange(encoded.rows), list(raised))
        others = decode_part(kept.tolist()) if len(kept) else no_answers(model)
        named = spread(others, kept, encoded, {**raised, **at_fault_before(outputs, encoded)})
    if blame is not None:
        here = [fault for row, fault in raised.items() if row not in at_fault_before(outputs, encoded)]
        with watched():
            blame.judge(model, "decode", here, has_passed=named.column("error").null_count > 0)
    if not any(map(may_be_endless, named.columns)):
        return named
    faults = dict.fromkeys(find_endless(named), NON_FINITE)
    kept = np.setdiff1d(np.arange(encoded.rows), list(faults))
    return spread(named.take(pa.array(kept)), kept, encoded, faults) if faults else named


def at_fault_before(outputs: Outputs, encoded: Encoded) -> dict[int, RowFault]:
    """The rows that came here at fault, and why."""
    pieces = {int(encoded.piece_rows[piece]): fault for piece, fault in outputs.faults.items()}
    return {**pieces, **encoded.faults}


def no_answers(model: Model) -> pa.RecordBatch:
    """What a model answers to no rows."""
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in model.schema.types], schema=model.schema)


def decode_whole(model: Model, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
    """What the model answers, if that is as many rows as it was given."""
    named = model.decode(outputs, encoded)
    if not isinstance(named, pa.RecordBatch):
        promise = "decode answers with a pyarrow RecordBatch"
        raise ContractBroken(model.tag, promise=promise, found=f"an object of type {type(named).__name__}")
    if named.schema.names != model.schema.names or named.schema.types != model.schema.types:
        promise = f"decode answers with the columns {say_schema(model.schema)}"
        raise ContractBroken(model.tag, promise=promise, found=say_schema(named.schema))
    if named.num_rows != encoded.rows:
        raise PredictionMismatch(model.tag, given=encoded.rows, got=named.num_rows)
    return named


def take_rows(outputs: Outputs, encoded: Encoded, rows: NDArray[np.int64]) -> tuple[Outputs, Encoded]:
    """Some rows of a window, ascending, as if they were all of it."""
    place = np.full(encoded.rows, -1)
    place[rows] = np.arange(len(rows))
    pieces = np.flatnonzero(place[encoded.piece_rows] >= 0)
    here = {int(piece): number for number, piece in enumerate(pieces)}
    return (
        Outputs(
            arrays={name: array[pieces] for name, array in outputs.arrays.items()},
            faults={here[piece]: fault for piece, fault in outputs.faults.items() if piece in here},
        ),
        Encoded(
            rows=len(rows),
            features={name: take_pieces(feature, pieces) for name, feature in encoded.features.items()},
            piece_rows=place[encoded.piece_rows[pieces]],
            lengths=encoded.lengths[pieces],
            truncated=encoded.truncated[rows],
            faults={int(place[row]): fault for row, fault in encoded.faults.items() if place[row] >= 0},
        ),
    )


def take_pieces(feature: Feature, pieces: NDArray[np.int64]) -> Feature:
    """Some pieces of a feature, as the kind of thing that it is."""
    if isinstance(feature, np.ndarray):
        return np.asarray(feature[pieces])
    chosen = [feature[piece] for piece in pieces]
    return Ragged.join(chosen, feature.values.dtype) if isinstance(feature, Ragged) else chosen


def spread(
    named: pa.RecordBatch, kept: NDArray[np.int64], encoded: Encoded, faults: Mapping[int, RowFault]
) -> pa.RecordBatch:
    """Answers of the rows that were kept in their places of the window, and in the others nulls and the faults."""
    place, is_left_out = np.zeros(encoded.rows, np.int64), np.ones(encoded.rows, np.bool_)
    place[kept], is_left_out[kept] = np.arange(len(kept)), False
    columns = dict(zip(named.schema.names, named.take(pa.array(place, mask=is_left_out)).columns, strict=True))
    columns["truncated"] = pa.array(encoded.truncated)
    columns["error"] = pc.coalesce(columns["error"], error_column(encoded.rows, faults))
    return pa.RecordBatch.from_arrays([columns[name] for name in named.schema.names], schema=named.schema)


def may_be_endless(column: pa.Array) -> bool:
    """Whether a column holds NaN or infinity somewhere, be it beneath a null; costs one look at its numbers."""
    kind = column.type
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(column)).as_py() is False
    if pa.types.is_map(kind):
        return may_be_endless(column.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return may_be_endless(column.values)
    return pa.types.is_struct(kind) and any(map(may_be_endless, column.flatten()))


def find_endless(named: pa.RecordBatch) -> list[int]:
    """The rows that hold NaN or infinity and are no error rows already."""
    good = set(np.flatnonzero(named.column("error").is_null().to_numpy(zero_copy_only=False)).tolist())
    columns = [column for column in named.columns if may_be_endless(column)]
    return sorted(row for row in good if not all(is_finite(column[row].as_py()) for column in columns))


def is_finite(value: Any) -> bool:
    """Whether every number in a value is one."""
    if isinstance(value, float):
        return math.isfinite(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(map(is_finite, inside))
