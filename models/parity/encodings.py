"""Do two models of one family make the same arrays of the same rows? If not: what was done otherwise, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import Encoded, Model, Values
from models.parity.discrepancy import Discrepancy
from models.parity.numbers import find_number_fault
from models.parity.tokens import find_token_fault
from models.values import iterate_values

#: Encoded numbers nearer than this are one: a mean written with fewer digits.
INPUT_TOLERANCE = 1e-5


def find_encoding_fault(
    reference: Model, variant: Model, values: Values, one: Encoded, other: Encoded
) -> Discrepancy | None:
    """The first row that the two encode otherwise, and what it is that they do otherwise; None where all are equal.

    Args:
        reference: whose encoding is right.
        variant: whose is compared.
        values: the rows.
        one: of the reference.
        other: of the variant.
    """
    if (fault := find_fault_rows(one, other)) is not None:
        return fault
    names = [name for name in one.features if name in other.features]
    for name in names:
        left, right = (row_pieces(encoded, name) for encoded in (one, other))
        differing = [row for row in left if not same_pieces(left[row], right[row])]
        if not differing:
            continue
        if reference.spec.inputs[0].kind == "text":
            texts = list(iterate_values(values))
            return find_token_fault(reference, variant, {row: texts[row] for row in differing}, left, right, name)
        return find_number_fault(reference, variant, differing, left, right)
    if not names:
        found = " and ".join(", ".join(encoded.features) or "nothing" for encoded in (one, other))
        return Discrepancy(stage="encoding", cause="features", row=None, what=f"rows are encoded as {found}")
    return None


def find_fault_rows(one: Encoded, other: Encoded) -> Discrepancy | None:
    """A row that only one of the two can take, or that is at fault for another reason, or only in one is cut off."""
    for row in sorted(one.faults.keys() | other.faults.keys()):
        first, second = one.faults.get(row), other.faults.get(row)
        if first is not None and second is not None and first.kind == second.kind:
            continue
        said = [f"{fault.kind}: {fault.message}" if fault else "it is taken" for fault in (first, second)]
        too_long = "TooLong" in [fault.kind for fault in (first, second) if fault]
        cause = "maximal length" if too_long else "row at fault"
        return Discrepancy(
            stage="encoding", cause=cause, row=row, what=f"in the reference {said[0]}; in the variant {said[1]}"
        )
    return None


def row_pieces(encoded: Encoded, name: str) -> dict[int, list[NDArray[Any]]]:
    """Row -> its pieces of one feature."""
    pieces: dict[int, list[NDArray[Any]]] = {}
    for piece, row in enumerate(encoded.piece_rows):
        pieces.setdefault(int(row), []).append(np.asarray(encoded.features[name][piece]))
    return pieces


def same_pieces(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    """Whether two rows were encoded alike; numbers to INPUT_TOLERANCE."""
    if [piece.shape for piece in one] != [piece.shape for piece in other]:
        return False
    return all(
        np.allclose(left, right, rtol=INPUT_TOLERANCE, atol=INPUT_TOLERANCE, equal_nan=True)
        if left.dtype.kind == "f"
        else np.array_equal(left, right)
        for left, right in zip(one, other, strict=True)
    )
