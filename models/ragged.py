"""Ragged: rows of different lengths in one array, so that a micro-batch is gathered without a Python step a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


class Ragged(Sequence[NDArray[Any]]):
    """A sequence of arrays that lie one behind the other in one; an item is a view, never a copy.

    Attributes:
        values: shape (total length, ...), all rows joined.
        offsets: shape (rows + 1,), where each row begins, and where the last one ends.
    """

    __slots__ = ("offsets", "values")

    def __init__(self, values: NDArray[Any], offsets: NDArray[np.int64]) -> None:
        self.values, self.offsets = values, offsets

    @classmethod
    def join(cls, arrays: Sequence[NDArray[Any]], dtype: Any = None) -> Ragged:
        """The arrays one behind the other; they have one trailing shape."""
        values = np.concatenate(arrays) if len(arrays) else np.zeros(0, dtype=dtype)
        return cls(values, ends_to_offsets(len(array) for array in arrays))

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Ragged: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | Ragged:
        if isinstance(index, slice):
            return Ragged.join([self[i] for i in range(*index.indices(len(self)))], self.values.dtype)
        row = range(len(self))[index]
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def padded(self, rows: NDArray[np.int64], value: float = 0, length: int = 0) -> NDArray[Any]:
        """The named rows as one array of (rows, longest or `length`, ...), filled up with `value`."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        longest = max(int(lengths.max()), length)
        steps = np.arange(longest)
        if (lengths == longest).all():
            return np.asarray(self.values[self.offsets[rows][:, None] + steps])
        stacked = np.full((len(rows), longest, *self.values.shape[1:]), value, dtype=self.values.dtype)
        real = steps < lengths[:, None]
        stacked[real] = self.values[(self.offsets[rows][:, None] + steps)[real]]
        return stacked


def ends_to_offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Lengths to offsets: 0, then each one's end."""
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, dtype=np.int64))]).astype(np.int64)
