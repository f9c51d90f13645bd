"""How far two answers to one row are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Answer = Mapping[str, Any]

#: Apart by more than any tolerance: one is an error and the other is not, or words differ.
FAR = math.inf


def answer_distance(one: Answer, other: Answer) -> float:
    """The largest difference between two answers, as rows of `to_pylist`; FAR where no tolerance can cover it.

    Numbers differ by their difference. Of two error rows only the class counts. Labels that differ are as far apart
    as their scores are: two labels may change places where they are equally likely. Scores that only one
    answer has, since the best few are kept, are as far away as they are above the other's least.
    """
    if one.keys() != other.keys():
        return FAR
    if fault_class(one) != fault_class(other):
        return FAR
    if fault_class(one) is not None:
        return 0.0
    return max((column_distance(name, one, other) for name in one if name != "error"), default=0.0)


def fault_class(answer: Answer) -> str | None:
    """Why a row has no prediction; None where it has one."""
    error = answer.get("error")
    return None if error is None else str(error["class"])


def column_distance(name: str, one: Answer, other: Answer) -> float:
    if name in ("label", "labels") and "scores" in one and None not in (one[name], other[name]):
        return label_distance(one[name], other[name], dict(one["scores"]), dict(other["scores"]))
    return value_distance(one[name], other[name])


def label_distance(one: Any, other: Any, scores: Mapping[str, float], other_scores: Mapping[str, float]) -> float:
    """How much the scores must move for one choice of labels to become the other: half their distance, each."""
    if isinstance(one, list):
        changed = set(one) ^ set(other)
        return max((abs(scores.get(key, FAR) - other_scores.get(key, -FAR)) for key in changed), default=0.0)
    if one == other:
        return 0.0
    return abs(scores.get(one, FAR) - scores.get(other, -FAR)) / 2


def value_distance(one: Any, other: Any) -> float:
    """The largest difference within two values of one column: numbers, lists of them, maps, or anything else."""
    if isinstance(one, float) and isinstance(other, float):
        return 0.0 if one == other or (one != one and other != other) else to_distance(abs(one - other))
    if is_map(one) and is_map(other):
        return map_distance(dict(one), dict(other))
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return FAR
        return max((value_distance(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    return 0.0 if one == other else FAR


def is_map(value: Any) -> bool:
    """Whether a value is what `to_pylist` makes of an Arrow map from words to numbers."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, tuple) and len(item) == 2 for item in value)


def map_distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    if len(one) != len(other):
        return FAR
    least = min(one.values()), min(other.values())
    return max(
        to_distance(abs(one[key] - other[key]))
        if key in one and key in other
        else to_distance(max(one.get(key, -FAR) - least[1], other.get(key, -FAR) - least[0]))
        for key in one.keys() | other.keys()
    )


def to_distance(difference: float) -> float:
    """NaN is far from everything."""
    return FAR if difference != difference else difference
