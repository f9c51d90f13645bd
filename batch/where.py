"""--where: a part of SQL, as a filter that Arrow evaluates and pushes down.

Understood: = == != <> < <= > >=, AND, OR, NOT, IN (...), BETWEEN, IS [NOT] NULL, LIKE (% and _, no escape),
parentheses, columns (in double quotes where needed; a boolean column is a condition), 'text', numbers, TRUE, FALSE,
DATE '2026-01-31', TIMESTAMP '2026-01-31 12:00:00'. Everything else is refused by name. NULL means what it means in SQL:
a comparison with it is neither true nor false, under NOT too, and lets no row in.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from batch.errors import SchemaMismatch, WhereError

if TYPE_CHECKING:
    from sqlglot import exp

_PARTS = {"this", "expression", "expressions", "low", "high", "to", "quoted", "is_string"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Where:
    """A filter: the text it was given as, the columns it reads, those that LIKE reads, and what lets rows in."""

    text: str
    columns: frozenset[str]
    text_columns: frozenset[str]
    expression: pc.Expression


def parse_where(text: str) -> Where:
    """Translate a condition in SQL; the import of sqlglot costs 0.1 s the first time.

    Raises:
        WhereError: no SQL, or SQL that is not understood here.
    """
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(text)
        tree = statements[0]
        if tree is None or len(statements) != 1:
            raise WhereError(text, "one condition is expected" if text.strip() else "it is empty")
        translation = _Translation(text)
        expression = translation.condition(tree)
        columns = frozenset(column.name for column in tree.find_all(exp.Column))
    except sqlglot.errors.SqlglotError as error:
        found = getattr(error, "errors", None) or [{}]
        near = f" near {found[0]['highlight']!r}" if found[0].get("highlight") else ""
        raise WhereError(text, f"this is no SQL condition{near}") from error
    except RecursionError as error:
        raise WhereError(text, "it is nested too deeply") from error
    text_columns = frozenset(translation.text_columns)
    return Where(text=text, columns=columns, text_columns=text_columns, expression=expression)


def check_where(where: Where, schema: pa.Schema, source: str) -> None:
    """See, without reading a row, that the filter fits a source's columns and their types.

    Raises:
        SchemaMismatch: a column is missing.
        WhereError: a column's type does not compare with what it is compared with.
    """
    found = {field.name: str(field.type) for field in schema}
    if missing := sorted(where.columns - found.keys()):
        advice = "--where names it; text stands in single quotes."
        raise SchemaMismatch(source, expected=dict.fromkeys(missing, "any type"), found=found, advice=advice)
    for name in sorted(where.text_columns):
        if not _is_text(schema.field(name).type):
            raise WhereError(where.text, f"LIKE takes text, and in {source}, {name} is {found[name]}")
    import pyarrow.dataset as ds  # a job without a condition does without

    # One row of nulls: some kernels refuse their types only when there is a row to compare.
    row = pa.table({name: pa.nulls(1, schema.field(name).type) for name in sorted(where.columns)} or {"none": [None]})
    try:
        ds.dataset(row).scanner(filter=where.expression).to_table()
    except (pa.ArrowException, TypeError) as error:
        kinds = ", ".join(f"{name} is {found[name]}" for name in sorted(where.columns))
        hint = " (a date is written DATE '2026-01-31')" if re.search(r"date|timestamp", kinds.lower()) else ""
        reason = f"its types do not go together: in {source}, {kinds}{hint}"
        raise WhereError(where.text, reason) from error


class _Translation:
    """sqlglot's tree to Arrow's; Arrow's &, | and ~ on expressions are three-valued, as SQL's are."""

    def __init__(self, text: str) -> None:
        from sqlglot import exp

        self._text = text
        self._exp = exp
        self.text_columns: set[str] = set()
        self._comparisons: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
            exp.EQ: operator.eq,
            exp.NEQ: operator.ne,
            exp.LT: operator.lt,
            exp.LTE: operator.le,
            exp.GT: operator.gt,
            exp.GTE: operator.ge,
        }

    def condition(self, node: "exp.Expr") -> pc.Expression:
        """What is true, false or neither of a row."""
        exp = self._exp
        self._refuse_unknown_parts(node)
        match node:
            case exp.Paren():
                return self.condition(node.this)
            case exp.And():
                return self.condition(node.this) & self.condition(node.expression)
            case exp.Or():
                return self.condition(node.this) | self.condition(node.expression)
            case exp.Not():
                return ~self.condition(node.this)
            case exp.Column():
                return self._value(node)
            case exp.Is() if isinstance(node.expression, exp.Null):
                is_null = self._value(node.this).is_null()
                return ~is_null if node.args.get("negate") else is_null
            case exp.Between():
                value = self._value(node.this)
                return (value >= self._value(node.args["low"])) & (value <= self._value(node.args["high"]))
            case exp.In() if node.expressions:
                # Arrow's is_in calls a NULL false, and NOT would let it in; SQL's IN is an OR of equals.
                value = self._value(node.this)
                return _any_of([value == self._value(item) for item in node.expressions])
            case exp.Like() if isinstance(node.expression, exp.Literal) and node.expression.is_string:
                if isinstance(node.this, exp.Column):
                    self.text_columns.add(node.this.name)
                value = self._value(node.this).cast(pa.string())  # a dictionary of strings has no LIKE of its own
                is_like = pc.match_substring_regex(value, _like_regex(node.expression.this))
                return ~is_like if node.args.get("negate") else is_like
        if compare := self._comparisons.get(type(node)):
            return compare(self._value(node.this), self._value(node.expression))
        raise WhereError(self._text, f"{self._name(node)} is not understood as a condition")

    def _value(self, node: "exp.Expr") -> pc.Expression:
        """A column or a literal."""
        exp = self._exp
        self._refuse_unknown_parts(node)
        match node:
            case exp.Paren():
                return self._value(node.this)
            case exp.Column() if isinstance(node.this, exp.Identifier):
                return pc.field(node.name)
            case exp.Boolean():
                return pc.scalar(bool(node.this))
            case exp.Literal() if node.is_string:
                return pc.scalar(node.this)
            case exp.Literal():
                return pc.scalar(self._number(node.this))
            case exp.Neg() if isinstance(node.this, exp.Literal) and not node.this.is_string:
                return pc.scalar(self._number("-" + node.this.this))
            case exp.Cast() if isinstance(node.this, exp.Literal) and node.this.is_string:
                return self._moment(node)
            case exp.Null():
                raise WhereError(self._text, "NULL equals nothing; write IS NULL or IS NOT NULL")
        raise WhereError(self._text, f"{self._name(node)} is not understood as a value")

    def _refuse_unknown_parts(self, node: "exp.Expr") -> None:
        """Refuse what a node says beyond what is translated: an overlooked NOT turns a filter round."""
        known = _PARTS | {"negate"} if isinstance(node, self._exp.Like | self._exp.Is) else _PARTS
        if any(part not in known for part, said in node.args.items() if said):
            raise WhereError(self._text, f"{self._name(node)} is not understood")

    def _number(self, digits: str) -> pa.Scalar:
        try:
            if not re.fullmatch(r"-?\d+", digits):
                return pa.scalar(float(digits))
        except ValueError:
            raise WhereError(self._text, f"{digits} is no number") from None
        # The narrowest type: Arrow makes an int64 a decimal of 19 digits, which few decimal columns have room for.
        for kind, bits in ((pa.int8(), 7), (pa.int16(), 15), (pa.int32(), 31), (pa.int64(), 63)):
            if -(2**bits) <= int(digits) < 2**bits:
                return pa.scalar(int(digits), kind)
        raise WhereError(self._text, f"{digits} does not fit 64 bits")

    def _moment(self, node: "exp.Cast") -> pc.Expression:
        kinds = self._exp.DataType.Type
        try:
            if node.to.this == kinds.DATE:
                return pc.scalar(date.fromisoformat(node.this.this))
            if node.to.this in (kinds.TIMESTAMP, kinds.TIMESTAMPTZ):
                return pc.scalar(datetime.fromisoformat(node.this.this))
        except ValueError:
            raise WhereError(self._text, f"{node.this.this!r} is no {node.to.sql()} in ISO form") from None
        raise WhereError(self._text, f"{self._name(node)} is not understood as a value")

    def _name(self, node: "exp.Expr") -> str:
        return f"{node.key.upper()} ({node.sql()})"


def _any_of(conditions: Sequence[pc.Expression]) -> pc.Expression:
    """A balanced OR, so that a long list does not nest deep; 100,000 rows against 5,000 values take seconds."""
    if len(conditions) == 1:
        return conditions[0]
    half = len(conditions) // 2
    return _any_of(conditions[:half]) | _any_of(conditions[half:])


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _like_regex(pattern: str) -> str:
    tokens = ({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern)
    return f"(?s)^{''.join(tokens)}$"
