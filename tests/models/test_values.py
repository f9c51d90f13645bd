"""Values of a column come out one by one, as they are, and without a copy where the column allows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.values import iterate_values

NULL = None
COLUMNS = [
    pa.array([[1, 2], [3, 4], NULL, [5, 6]]),
    pa.array([[1, 2], [3, 4], [5, 6]])[1:],
    pa.array([NULL, NULL], pa.list_(pa.int8())),
    pa.array([], pa.list_(pa.int8())),
    pa.array([[1.5, 2], NULL, [5, 6]], pa.list_(pa.float32(), 2))[1:],
    pa.array([[[1], [2]], NULL, [[3], [4]]], pa.large_list(pa.list_(pa.uint8())))[1:],
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: f"{column.type} of {len(column)}")
def test_nested_numbers_of_one_shape_are_arrays_of_the_columns_type(column: Any) -> None:
    innermost = column.type
    while hasattr(innermost, "value_type"):
        innermost = innermost.value_type
    rows = list(iterate_values(column))
    assert [None if row is None else row.tolist() for row in rows] == column.to_pylist()
    assert all(row.dtype == innermost.to_pandas_dtype() for row in rows if row is not None)


def test_they_are_views_of_the_column() -> None:
    numbers = np.arange(12, dtype=np.uint8)
    column = pa.FixedSizeListArray.from_arrays(pa.array(numbers), 4)
    assert all(np.shares_memory(row, numbers) for row in iterate_values(column))


@pytest.mark.parametrize(
    "rows", [[[1, 2], [3]], [[1, None], [2, 3]], [["a"], ["b"]], [[[1], [2]], [[3]]], [[True], [False]]]
)
def test_other_lists_come_as_they_are(rows: list[Any]) -> None:
    found = [value.tolist() if isinstance(value, np.ndarray) else value for value in iterate_values(pa.array(rows))]
    assert found == rows
