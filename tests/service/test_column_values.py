"""Columns of predictions as Python values: the same as to_pylist says, without an object for each number on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.spec import ERROR_TYPE
from service.column_values import column_values

NUMBERS = np.random.default_rng(7).standard_normal(96).astype(np.float32)
SCORES = pa.map_(pa.string(), pa.float32())
FAULT = {"class": "NullValue", "message": "no text", "attempts": 1}
WHOLE = {
    "vectors": pa.FixedSizeListArray.from_arrays(pa.array(NUMBERS), 8),
    "scores": pa.array([[("a", x), ("b\u00e4", -x)] for x in NUMBERS[:12]], SCORES),
    "numbers": pa.array(NUMBERS[:12]),
}
WITH_GAPS = {
    "vectors with nulls": pa.FixedSizeListArray.from_arrays(
        pa.array(NUMBERS), 8, mask=pa.array([False, True, False] * 4)
    ),
    "vectors with nulls within": WHOLE["vectors"].take(pa.array([0, None, 1, 2])),
    "scores with nulls": pa.array([[("a", 0.1)], None, [], [("b", 0.2), ("a", 0.3)]], SCORES),
    "numbers with nulls": pa.array([0.5, None, 0.25], pa.float32()),
    "texts": pa.array(["a", None, "\u00e4"]),
    "lists": pa.array([["a"], [], None]),
    "errors": pa.array([None, FAULT, None], ERROR_TYPE),
    "no errors": pa.nulls(3, ERROR_TYPE),
    "truncated": pa.array([True, False]),
    "nothing": WHOLE["vectors"].slice(0, 0),
    "no scores": WHOLE["scores"].slice(0, 0),
}


@pytest.mark.parametrize("name", [*WHOLE, *WITH_GAPS])
def test_a_column_is_what_to_pylist_says_also_from_its_middle(name: str) -> None:
    column = {**WHOLE, **WITH_GAPS}[name]
    for part in (column, column[1:], column[1:-1]):
        said = column_values(part)
        assert said == part.to_pylist(maps_as_pydicts="strict")
        assert [type(one) for one in said] == [type(one) for one in part.to_pylist(maps_as_pydicts="strict")]


class CountedColumn:
    """A column that counts how often it is asked for all its values one at a time."""

    def __init__(self, column: pa.Array) -> None:
        self.column, self.asked = column, 0

    def __len__(self) -> int:
        return len(self.column)

    def __getattr__(self, name: str) -> Any:
        self.asked += name == "to_pylist"
        return getattr(self.column, name)


@pytest.mark.parametrize("name", [*WHOLE, "vectors with nulls", "no errors"])
def test_numbers_are_never_made_one_at_a_time(name: str) -> None:
    column = CountedColumn({**WHOLE, **WITH_GAPS}[name])
    column_values(column)
    assert column.asked == 0


def test_a_label_that_a_map_names_twice_is_an_error_as_ever() -> None:
    column = pa.array([[("a", 0.1), ("a", 0.2)]], SCORES)
    with pytest.raises(KeyError):
        column.to_pylist(maps_as_pydicts="strict")
    with pytest.raises(KeyError):
        column_values(column)
