"""--where means what SQL means, NULL included, and refuses by name what it does not mean."""

import pickle
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import SchemaMismatch, WhereError
from batch.where import check_where, parse_where

TABLE = pa.table(
    {
        "row": range(5),
        "n": [1, 2, None, 4, -1],
        "x": [0.5, None, 2.0, 4.0, 1e3],
        "s": ["en", "de", None, "e%", "élan\n"],
        "Odd name": ["a", None, "b", "a", "b"],
        "flag": [True, False, None, True, False],
        "day": [date(2026, 1, 1), date(2026, 1, 2), None, date(2026, 1, 4), date(2026, 1, 5)],
        "seen": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 4 + [None], pa.timestamp("us", "UTC")),
    }
)


def rows(text: str, table: pa.Table = TABLE) -> list[int]:
    """The rows that a filter lets in, by Arrow."""
    where = parse_where(text)
    check_where(where, table.schema, "f.parquet")
    found: list[int] = table.filter(where.expression)["row"].to_pylist()
    return found


def rows_by_duckdb(text: str, table: pa.Table = TABLE) -> list[int]:
    """The rows that the same text lets in elsewhere."""
    with duckdb.connect() as connection:
        connection.register("t", table)
        return [row for (row,) in connection.execute(f"SELECT row FROM t WHERE {text} ORDER BY row").fetchall()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 1", [0]),
        ("n != 1", [1, 3, 4]),
        ("n <> 1", [1, 3, 4]),
        ("NOT n = 1", [1, 3, 4]),
        ("1 < n", [1, 3]),
        ("n = -1", [4]),
        ("x >= 2", [2, 3, 4]),
        ("x = 1e3", [4]),
        ("n IN (1, 4)", [0, 3]),
        ("n NOT IN (1, 4)", [1, 4]),
        ("n BETWEEN 1 AND 2", [0, 1]),
        ("n NOT BETWEEN 1 AND 2", [3, 4]),
        ("n IS NULL", [2]),
        ("n IS NOT NULL", [0, 1, 3, 4]),
        ("NOT (n = 1 OR x = 4.0)", [4]),
        ("n = 1 OR n IS NULL AND NOT flag", [0]),
        ("s = 'en'", [0]),
        ("s = 'it''s'", []),
        ("s LIKE 'e%'", [0, 3]),
        ("s LIKE 'e_'", [0, 3]),
        ("s LIKE '%n%'", [0, 4]),
        ("s LIKE '_lan_'", [4]),
        ("s NOT LIKE 'e%'", [1, 4]),
        ("\"Odd name\" = 'a'", [0, 3]),
        ("flag", [0, 3]),
        ("NOT flag", [1, 4]),
        ("flag = FALSE", [1, 4]),
        ("day >= DATE '2026-01-02' AND day < DATE '2026-01-05'", [1, 3]),
        ("seen <= TIMESTAMP '2026-01-01 00:00:00+00:00'", [0, 1, 2, 3]),
    ],
)
def test_a_filter_lets_in(text: str, expected: list[int]) -> None:
    assert rows(text) == expected
    assert rows_by_duckdb(text) == expected


_COLUMN = st.sampled_from("ab")
_COMPARE = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
_MAYBE_NOT = st.sampled_from(["", "NOT "])
_NUMBERS = st.integers(-1, 2).map(str)
_ATOMS = st.one_of(
    st.builds("{} {} {}".format, _COLUMN, _COMPARE, _NUMBERS),
    st.builds("a {} b".format, _COMPARE),
    st.builds("{} {}".format, _COLUMN, st.sampled_from(["IS NULL", "IS NOT NULL"])),
    st.builds("{} {}BETWEEN {} AND {}".format, _COLUMN, _MAYBE_NOT, _NUMBERS, _NUMBERS),
    st.builds("{} {}IN ({})".format, _COLUMN, _MAYBE_NOT, st.lists(_NUMBERS, min_size=1, max_size=4).map(", ".join)),
    st.builds("s {}LIKE '{}'".format, _MAYBE_NOT, st.text("ab.%_", max_size=3)),
    st.sampled_from(["flag", "flag = TRUE", "flag <> FALSE"]),
)
_CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds("NOT {}".format, inner.map("({})".format)),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["AND", "OR"]), inner),
        st.builds("{} {} {}".format, inner, st.sampled_from(["AND", "OR"]), inner),
    ),
    max_leaves=6,
)
_VALUES = [None, -1, 0, 1, 2]
_TEXTS = [None, "", "a", "ab", "a.b", "b%", "A"]
_GRID = [(a, b, s, flag) for a in _VALUES for b in _VALUES for s in _TEXTS for flag in (None, True, False)]
_EVERYTHING = pa.table(
    {
        "row": range(len(_GRID)),
        "a": pa.array([row[0] for row in _GRID], pa.int32()),
        "b": pa.array([row[1] for row in _GRID], pa.int64()),
        "s": [row[2] for row in _GRID],
        "flag": [row[3] for row in _GRID],
    }
)


@settings(max_examples=150, deadline=None)
@given(text=_CONDITIONS)
def test_any_condition_lets_in_what_duckdb_lets_in(text: str) -> None:
    assert rows(text, _EVERYTHING) == rows_by_duckdb(text, _EVERYTHING)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "it is empty"),
        ("lower(s) = 'en'", r"LOWER \(LOWER\(s\)\) is not understood"),
        ("n + 1 = 2", "ADD"),
        ("SELECT 1", "SELECT"),
        ("n = 1; n = 2", "one condition is expected"),
        ("n = NULL", "write IS NULL"),
        ("n IN (1, NULL)", "write IS NULL"),
        ("n IN (SELECT 1)", "IN"),
        ("s ILIKE 'e%'", "ILIKE"),
        ("s LIKE 'e!%' ESCAPE '!'", "ESCAPE"),
        ("s LIKE s", "LIKE"),
        ("s LIKE ANY ('a', 'b')", "LIKE"),
        ("n BETWEEN SYMMETRIC 2 AND 1", "BETWEEN"),
        ("day = TRY_CAST('2026-01-01' AS DATE)", "TRY"),
        ("(n, x) IN (1)", "TUPLE"),
        ("s = 'e' 'n'", "CONCAT"),
        ("n = 0x1", "ALIAS"),
        ("t.n = 1", "COLUMN"),
        ("n =", "this is no SQL condition"),
        ("n = 1 GROUP BY n", "this is no SQL condition near 'GROUP BY'"),
        ("n = 99999999999999999999", "does not fit 64 bits"),
        ("day = DATE 'today'", "'today' is no DATE"),
        ("flag IS TRUE", "IS"),
        ("EXISTS (SELECT 1)", "EXISTS"),
        ("n = ?", "PLACEHOLDER"),
        ("(" * 400 + "n = 1" + ")" * 400, "nested too deep"),
        ("n = 1 AND " * 500, r" n = 1 AND \.\.\.'"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(WhereError, match=named) as caught:
        parse_where(text)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_a_filter_knows_its_columns_and_travels_to_another_process() -> None:
    where = pickle.loads(pickle.dumps(parse_where("n = 1 AND (\"Odd name\" LIKE 'x%' OR s IS NULL)")))
    assert where.columns == {"n", "Odd name", "s"}
    assert TABLE.filter(where.expression)["row"].to_pylist() == []


def test_a_long_list_does_not_nest() -> None:
    assert rows(f"n IN ({', '.join(map(str, range(2, 1500)))})") == [1, 3]


def test_a_missing_column_is_named_before_a_row_is_read() -> None:
    with pytest.raises(SchemaMismatch, match=r"f\.parquet lacks en .*single quotes"):
        check_where(parse_where('s = "en"'), TABLE.schema, "f.parquet")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("n = 'one'", "n is int64"),
        ("s > 1", "s is string"),
        ("n LIKE '1%'", "n is int64"),
        ("n", "n is int64"),
        ("day > '2026-01-01'", r"a date is written DATE '2026-01-31'"),
        ("seen > TIMESTAMP '2026-01-01 00:00:00'", "seen is timestamp"),
    ],
)
def test_types_that_do_not_go_together_are_named_before_a_row_is_read(text: str, named: str) -> None:
    with pytest.raises(WhereError, match=named):
        check_where(parse_where(text), TABLE.schema, "f.parquet")


def test_the_types_of_parquet_can_be_compared() -> None:
    kinds: list[Any] = [pa.int8(), pa.uint32(), pa.uint64(), pa.int64(), pa.float32(), pa.decimal128(9, 2)]
    for kind in kinds:
        table = pa.table({"row": [0, 1], "v": pa.array([1, 3], pa.int8()).cast(kind)})
        assert rows("v < 100000 AND v > -100000 AND v <> 0", table) == [0, 1], kind
        assert rows("v > 1.5", table) == [1], kind
        assert rows("v = 3", table) == [1], kind
    for text_kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        table = pa.table({"row": [0, 1], "v": pa.array(["x", "y"]).cast(text_kind)})
        assert rows("v IN ('y', 'z')", table) == [1], text_kind
        assert rows("v LIKE 'y%'", table) == [1], text_kind
