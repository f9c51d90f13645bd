"""What two workers gain over one: of whole jobs, without their start, and beside plain matrix products."""

import pytest

from benchmarks.measure import Taken
from benchmarks.results_file import Result
from benchmarks.sections.scaling import compare, share


def side(name: str, seconds: list[float], start_s: float) -> Taken:
    facts = [{"run": {"seconds": spent, "start_s": start_s}} for spent in seconds]
    return Taken(name=name, seconds=seconds, load_s=[0.0] * len(seconds), facts=facts)


def test_a_gain_is_judged_whole_and_without_the_start_that_one_worker_does_alone() -> None:
    result = Result(section="scaling", title="Workers", rounds=2, quick=False)
    one, two, streams = side("one", [22.0] * 2, 2.0), side("two", [12.0] * 2, 2.0), side("streams", [11.0] * 2, 1.0)
    compare(result, one, two, streams, [1.9, 2.0])
    whole, apart = result.found
    assert whole.value == pytest.approx((22 / 12 / 1.9 + 22 / 12 / 2.0) / 2)
    assert apart.value == pytest.approx((2 / 1.9 + 2 / 2.0) / 2)
    assert not whole.reached
    assert apart.reached
    shown = {row[0]: row[1] for row in result.lines[0]["rows"]}
    assert shown["one process of two streams against one worker, whole job"] == "2.000x"
    assert shown["streams: start and end"] == "1.00 s"
    columns = result.lines[0]["columns"]
    assert all(len(row) == len(columns) for row in result.lines[0]["rows"])


def test_gains_are_compared_with_those_of_the_same_round() -> None:
    assert share([1.8, 1.0, 1.9], [2.0, 1.0, 1.9]) == 1.0
