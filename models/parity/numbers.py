"""Why two models make other numbers of the same image or sequence: its size, how it was resized, or normalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import Model
from models.parity.discrepancy import Discrepancy
from models.parity.tokens import limit_of

Pieces = Mapping[int, Sequence[NDArray[Any]]]

#: Of the numbers' spread, what a straight line may miss: float32 loses less, another resampling more.
LINE_MISSES = 1e-3


def find_number_fault(reference: Model, variant: Model, rows: Sequence[int], one: Pieces, other: Pieces) -> Discrepancy:
    """Name what makes the arrays of these rows differ.

    Args:
        reference: whose arrays are right.
        variant: whose are compared.
        rows: those that differ.
        one: row -> its pieces, (channels, height, width) or (steps, channels), in the reference.
        other: the same in the variant.
    """
    images = reference.spec.inputs[0].kind == "image"
    for row in rows:
        shapes = [pieces[row][0].shape for pieces in (one, other)]
        if shapes[0] != shapes[1] or len(one[row]) != len(other[row]):
            return (
                name_size(reference, variant, row, one, other)
                if images
                else name_steps(reference, variant, row, one, other)
            )
    channel_axis = 0 if images else -1
    pairs = [
        (np.moveaxis(left, channel_axis, 0), np.moveaxis(right, channel_axis, 0))
        for row in rows
        for left, right in zip(one[row], other[row], strict=True)
    ]
    settings = differing_settings(reference, variant)
    lines = fit_lines(pairs)
    if lines is not None:
        channel, slope, offset = lines
        what = f"in channel {channel} the variant's numbers are {slope:.4g} x the reference's {offset:+.4g}"
        return Discrepancy(stage="encoding", cause="normalisation", row=rows[0], what=what + settings)
    left, right = pairs[0]
    place = np.unravel_index(int(np.abs(left - right).argmax()), left.shape)
    what = f"{left[place]:.6g} in the reference and {right[place]:.6g} in the variant at {tuple(map(int, place))}"
    cause = "resize or resampling" if images else "values"
    return Discrepancy(stage="encoding", cause=cause, row=rows[0], what=what + settings)


def name_size(reference: Model, variant: Model, row: int, one: Pieces, other: Pieces) -> Discrepancy:
    """Two sizes of one image, or two numbers of its channels."""
    shapes = [pieces[row][0].shape for pieces in (one, other)]
    if shapes[0][0] != shapes[1][0]:
        cause, found = "colours", [f"{shape[0]} channels" for shape in shapes]
    else:
        cause, found = "image size", [f"{shape[1]} x {shape[2]} pixels" for shape in shapes]
    what = f"{found[0]} in the reference and {found[1]} in the variant"
    return Discrepancy(stage="encoding", cause=cause, row=row, what=what + differing_settings(reference, variant))


def name_steps(reference: Model, variant: Model, row: int, one: Pieces, other: Pieces) -> Discrepancy:
    """Two lengths of one sequence; where one is the beginning of the other it was cut off."""
    first, second = one[row][0], other[row][0]
    what = f"{len(first)} steps in the reference and {len(second)} in the variant"
    cause = "sequence"
    if first.shape[1:] == second.shape[1:] and (np.isclose(first[: len(second)], second[: len(first)])).all():
        cause = "maximal length"
        limits = [limit_of(model) for model in (reference, variant)]
        what += f": the maximal length is {limits[0]} and {limits[1]}" if limits[0] != limits[1] else ""
    return Discrepancy(stage="encoding", cause=cause, row=row, what=what)


def fit_lines(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[int, float, float] | None:
    """Where in every channel the one's numbers lie on a straight line over the other's: normalised otherwise, no more.

    Returns:
        The channel that differs most, its slope and its offset; None where a channel's numbers lie on no line.
    """
    found: tuple[int, float, float] | None = None
    most = -1.0
    for channel in range(len(pairs[0][0])):
        left = np.concatenate([one[channel].ravel() for one, _ in pairs]).astype(np.float64)
        right = np.concatenate([other[channel].ravel() for _, other in pairs]).astype(np.float64)
        if not left.std():
            continue
        slope = float(((left - left.mean()) * (right - right.mean())).mean() / left.var())
        offset = float(right.mean() - slope * left.mean())
        if np.abs(slope * left + offset - right).max() > LINE_MISSES * max(float(right.std()), 1e-12):
            return None
        if (apart := float(np.abs(left - right).max())) > most:
            most, found = apart, (channel, slope, offset)
    return found


def differing_settings(reference: Model, variant: Model) -> str:
    """What the two say of preprocessing, where it is not the same; opens with a colon."""
    one, other = reference.spec.preprocess, variant.spec.preprocess
    if one is None or other is None:
        return ""
    left, right = one.model_dump(), other.model_dump()
    said = [f"{name} {left[name]} and {right[name]}" for name in left if left[name] != right[name]]
    return f": {', '.join(said)}" if said else ""
