"""Sequences of numbers -> float32 arrays of (steps, channels)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.model import RowFault, Values
from models.networks.recurrent_config import Normalize
from models.values import FaultFound, describe, is_list, is_null, is_number, iterate_values, null_value, wrong_type

Sequences = list[NDArray[np.float32] | RowFault]


def read_sequences(values: Values, channels: int, normalize: Normalize | None) -> Sequences:
    """Read each row as steps of `channels` numbers, normalised; a row that cannot be is a fault, never an exception.

    A row is a list of lists or an array of (steps, channels); with one channel also a plain list. Of an Arrow column
    the rows that are in order are read together, without Python lists; only the others are looked at one by one.
    """
    if isinstance(values, pa.ChunkedArray):
        return [row for chunk in values.chunks for row in read_sequences(chunk, channels, normalize)]
    if isinstance(values, pa.Array) and is_list(values.type):
        return read_column(values, channels, normalize)
    return [read_sequence(value, channels, normalize) for value in iterate_values(values)]


def read_column(column: Any, channels: int, normalize: Normalize | None) -> Sequences:
    """An Arrow list column: good rows are slices of one array, the others are read one by one for their faults."""
    good = find_good_rows(column, channels)
    rows: Sequences = []
    if good.any():
        chosen = column.filter(pa.array(good))
        numbers = chosen.flatten()
        while is_list(numbers.type):
            numbers = numbers.flatten()
        steps = numbers.to_numpy(zero_copy_only=False).reshape(-1, channels)
        ends = np.cumsum(pc.list_value_length(chosen).to_numpy(zero_copy_only=False))
        rows = list(np.split(normalize_steps(steps, normalize), ends[:-1]))
    slices = iter(rows)
    return [
        next(slices) if is_good else read_sequence(next(iterate_values(column[row : row + 1])), channels, normalize)
        for row, is_good in enumerate(good)
    ]


def find_good_rows(column: Any, channels: int) -> NDArray[np.bool_]:
    """Which rows have at least one step, each of `channels` finite numbers; looked at column-wise."""
    sizes = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    good: NDArray[np.bool_] = sizes > 0
    row_of = np.repeat(np.arange(len(column)), sizes)
    numbers = column.flatten()
    if is_list(numbers.type):
        widths = pc.fill_null(pc.list_value_length(numbers), -1).to_numpy(zero_copy_only=False)
        good[row_of[widths != channels]] = False
        row_of = np.repeat(row_of, np.maximum(widths, 0))
        numbers = numbers.flatten()
    elif channels != 1:
        good[:] = False
    if not is_number(numbers.type):
        good[:] = False
        return good
    finite = fits_float32(pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False))
    if numbers.null_count:
        finite &= ~numbers.is_null().to_numpy(zero_copy_only=False)
    good[row_of[~finite]] = False
    return good


def read_sequence(value: Any, channels: int, normalize: Normalize | None) -> NDArray[np.float32] | RowFault:
    """One row, whatever it is."""
    try:
        return normalize_steps(check_steps(value, channels), normalize)
    except FaultFound as error:
        return error.fault


def check_steps(value: Any, channels: int) -> NDArray[Any]:
    """A row as numbers of shape (steps, channels).

    Raises:
        FaultFound: null, of another type, ragged, of another number of channels, empty, or not finite.
    """
    expected = "a list of numbers" if channels == 1 else f"a list of steps of {channels} numbers"
    if is_null(value):
        raise null_value(expected)
    if not isinstance(value, list | tuple | np.ndarray):
        raise wrong_type(expected, value)
    if len(value) == 0 if isinstance(value, list | tuple) else value.size == 0:
        raise FaultFound("EmptySequence", f"expected {expected}, found none")
    try:
        steps = np.asarray(value)
    except Exception:  # ragged, or what an element's own conversion raises
        raise FaultFound("WrongShape", f"expected {expected}, found {describe_ragged(value)}") from None
    if steps.dtype.kind == "O" and any(is_missing := [number is None for number in steps.reshape(-1)]):
        step = is_missing.index(True) // (steps.size // len(steps))
        raise FaultFound("WrongType", f"expected {expected}, found null in step {step}")
    if steps.dtype.kind not in "iuf":
        raise wrong_type(expected, value)
    if steps.ndim == 1 and channels == 1:
        steps = steps[:, None]
    if steps.ndim != 2 or steps.shape[1] != channels:
        raise FaultFound("WrongShape", f"expected {expected}, found shape {np.shape(value)}")
    wrong = np.argwhere(~fits_float32(steps))
    if len(wrong):
        step, channel = (int(i) for i in wrong[0])
        raise FaultFound(
            "NonFiniteInput", f"expected finite numbers, found {steps[step, channel]} in step {step}, channel {channel}"
        )
    return steps


def describe_ragged(value: Any) -> str:
    """Where a list of steps changes its width."""
    widths = [len(step) if hasattr(step, "__len__") else None for step in value]
    for step, width in enumerate(widths):
        if width != widths[0]:
            first, other = (f"{w} numbers" if w is not None else "no list" for w in (widths[0], width))
            return f"{first} in step 0 and {other} in step {step}"
    return describe(value)


def fits_float32(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers are finite, also as the float32 that the network takes."""
    return np.asarray(np.abs(numbers.astype(np.float64)) <= np.finfo(np.float32).max)


def normalize_steps(steps: NDArray[Any], normalize: Normalize | None) -> NDArray[np.float32]:
    """To float32, by way of double, so that a number means the same in every column type."""
    doubles = steps.astype(np.float64)
    with np.errstate(over="ignore"):  # what overflows here ends as NonFiniteOutput
        normalized: NDArray[np.float32] = normalize.apply(doubles) if normalize else doubles.astype(np.float32)
    return normalized
