"""Does a model keep the contract of `Model`? Tried on rows, promise by promise, and each is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.compare import answer_distance, fault_class
from models.model import Model, Values
from models.samples import default_samples
from models.say import say_schema
from models.spec import ERROR_TYPE
from models.trial import Broken, Trial
from models.values import cut, describe

#: Rows that are tried; each is also asked for alone.
MOST_SAMPLES = 64

#: Of no use to any model, whatever it takes.
BAD_VALUES: tuple[Any, ...] = (None, float("nan"), 7, True, b"\x00\xff", {"a": 1}, ["x", "y"], object())


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise of the contract, and what was found of it."""

    name: str
    kept: bool
    found: str


def check_contract(model: Model, samples: Values = None) -> list[Promise]:
    """Try every promise of the contract, on the given rows or on rows made for the model's kind.

    Never raises for what the model does: an exception breaks the promise that was being tried, and is what is found.

    Args:
        model: any Model, an operator's own class as well.
        samples: values of the input column that the model shall answer, Arrow or a list; None makes some. The first
            `MOST_SAMPLES` are tried.
    """
    rows = default_samples(model) if samples is None else samples
    rows = rows.to_pylist() if isinstance(rows, pa.Array | pa.ChunkedArray) else list(rows)
    trial = Trial(model, rows[:MOST_SAMPLES])
    promises = []
    for name, check in CHECKS.items():
        try:
            promises.append(Promise(name=name, kept=True, found=check(trial)))
        except Broken as broken:
            promises.append(Promise(name=name, kept=False, found=str(broken)))
    return promises


def check_count(trial: Trial) -> str:
    """One answer for each row."""
    trial.together()
    for row in range(len(trial.samples)):
        trial.alone(row)
    trial.answer("the sample reversed", list(reversed(trial.samples)))
    return f"{len(trial.samples)} answers to {len(trial.samples)} rows"


def check_order(trial: Trial) -> str:
    """Answers come in the order of their rows."""
    rows = list(range(len(trial.samples)))
    backwards = rows[::-1]
    for order, answers in (
        (rows, trial.together()),
        (backwards, trial.answer("the sample reversed", [trial.samples[row] for row in backwards])),
    ):
        owners = trial.owners(answers, order)
        for row, owner in zip(order, owners or order, strict=True):
            if row != owner:
                raise Broken(f"row {row} got the answer of row {owner}")
    return "the answers stand where their rows do, forwards and backwards"


def check_alone(trial: Trial) -> str:
    """A row is answered the same alone as among others."""
    largest = 0.0
    rows = list(range(len(trial.samples)))
    for order, what in ((rows, "the sample"), (rows[::-1], "the sample reversed"), (rows[::2], "every other row")):
        answers = trial.answer(what, [trial.samples[row] for row in order])
        owners = trial.owners(answers, order) or order
        for owner, answer in zip(owners, answers, strict=True):
            difference = answer_distance(answer, trial.alone(owner))
            if difference > trial.tolerance:
                raise Broken(f"row {owner} alone and in {what}: {say_distance(difference, trial)}")
            largest = max(largest, difference)
    return f"differences up to {largest:.2g}, the tolerance is {trial.tolerance:g}"


def check_again(trial: Trial) -> str:
    """A second call gives the same answers."""
    answers = trial.answer("the sample again", list(trial.samples))
    for row, (first, second) in enumerate(zip(trial.together(), answers, strict=True)):
        if (difference := answer_distance(first, second)) > trial.tolerance:
            raise Broken(f"row {row} on the second call: {say_distance(difference, trial)}")
    return "the same answers on a second call"


def check_arrow(trial: Trial) -> str:
    """An Arrow column is answered as a list of its values is."""
    try:
        column = pa.array(list(trial.samples))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        return f"the sample makes no Arrow column ({cut(str(error))}), so this was not tried"
    for what, values in (("an Arrow column", column), ("a chunked column", pa.chunked_array([column[:1], column[1:]]))):
        for row, (first, second) in enumerate(zip(trial.together(), trial.answer(what, values), strict=True)):
            if (difference := answer_distance(first, second)) > trial.tolerance:
                raise Broken(f"row {row} in a list and in {what}: {say_distance(difference, trial)}")
    return f"{column.type} answered as the list"


def check_schema(trial: Trial) -> str:
    """Answers have the declared schema."""
    declared = trial.model.schema
    if "error" not in declared.names or declared.field("error").type != ERROR_TYPE:
        raise Broken(f"the declared schema lacks the column error of type {ERROR_TYPE}")
    batch = trial.answer_batch("the sample", list(trial.samples))
    if not batch.schema.equals(declared):
        raise Broken(f"the sample is answered with {say_schema(batch.schema)}; declared is {say_schema(declared)}")
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise Broken(f"the sample is answered with a damaged batch: {cut(str(error), 200)}") from None
    return say_schema(declared)


def check_empty(trial: Trial) -> str:
    """No rows are answered with no rows, in the declared schema."""
    for what, values in (
        ("an empty list", []),
        ("an empty Arrow column", pa.array(list(trial.samples[:0]), pa.null())),
    ):
        batch = trial.answer_batch(what, values)
        if batch.num_rows or not batch.schema.equals(trial.model.schema):
            raise Broken(f"{what} is answered with {batch.num_rows} rows of {say_schema(batch.schema)}")
    return "no rows, in the declared schema"


def check_finite(trial: Trial) -> str:
    """Rows without an error have a whole answer: no nulls, no NaN or infinity, labels of the spec."""
    good = [row for row, answer in enumerate(trial.together()) if fault_class(answer) is None]
    for row in good:
        answer = trial.together()[row]
        for name, value in answer.items():
            if name != "error" and (why := find_flaw(value)):
                raise Broken(f"row {row} has {why} in {name}")
        if "label" in answer and answer["label"] not in trial.model.spec.labels:
            raise Broken(f"row {row} has the label {answer['label']!r}, which is none of the spec's")
    if not good:
        error = trial.together()[0]["error"]
        raise Broken(f"no sample row was answered; row 0: {error['class']}: {error['message']}")
    return f"{len(good)} of {len(trial.samples)} rows answered, the others are error rows"


def check_bad_values(trial: Trial) -> str:
    """Nulls and values of the wrong type become error rows."""
    for value in BAD_VALUES:
        (answer,) = trial.answer(f"{describe(value)} alone", [value])
        if fault_class(answer) is None:
            raise Broken(f"{describe(value)} is answered as if it were a good row")
    if not (found := trial.answer_batch("a null", [None]).schema).equals(trial.model.schema):
        raise Broken(f"a null is answered with {say_schema(found)}")
    for what, column in (("a column of nulls", pa.nulls(2)), ("a column of numbers", pa.array([1, None]))):
        for answer in trial.answer(what, column):
            if fault_class(answer) is None:
                raise Broken(f"{what} is answered as if its rows were good")
    return f"{len(BAD_VALUES)} bad values and two bad columns, each row an error row"


def check_neighbours(trial: Trial) -> str:
    """A bad row leaves its neighbours' answers as they are."""
    mixed: list[Any] = []
    for row, sample in enumerate(trial.samples):
        mixed += [BAD_VALUES[row % len(BAD_VALUES)], sample]
    answers = trial.answer("the sample among bad rows", mixed)
    for row, answer in enumerate(answers[1::2]):
        if (difference := answer_distance(answer, trial.alone(row))) > trial.tolerance:
            raise Broken(f"row {row} alone and among bad rows: {say_distance(difference, trial)}")
    return f"{len(trial.samples)} rows among bad ones answered as alone"


def find_flaw(value: Any) -> str:
    """What an answer may not hold, said in words; empty where it is whole."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return next((flaw for item in value if (flaw := find_flaw(item))), "") if isinstance(value, list | tuple) else ""


def say_distance(difference: float, trial: Trial) -> str:
    if difference == math.inf:
        return "one is an error or another label, the other is not"
    return f"answers differ by {difference:.3g}, the tolerance is {trial.tolerance:g}"


CHECKS: Mapping[str, Callable[[Trial], str]] = {
    "one answer for each row": check_count,
    "answers in the order of the rows": check_order,
    "a row is answered the same alone as among others": check_alone,
    "a second call gives the same answers": check_again,
    "an Arrow column is answered as a list": check_arrow,
    "the declared schema": check_schema,
    "no rows are answered with no rows": check_empty,
    "good rows have a whole and finite answer": check_finite,
    "nulls and values of the wrong type become error rows": check_bad_values,
    "a bad row leaves its neighbours as they are": check_neighbours,
}
