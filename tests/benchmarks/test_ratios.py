"""The arithmetic of the tables."""

import pytest

from benchmarks.ratios import best_of, ratio, rotated, spread


def test_a_ratio_is_their_time_over_ours_in_medians_and_in_each_round() -> None:
    found = ratio([10.0, 30.0, 20.0], [5.0, 5.0, 4.0])
    assert found.of_medians == 20 / 5
    assert (found.per_round, found.least, found.most) == (5.0, 2.0, 6.0)


def test_sides_of_different_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="as many rounds of both sides, found 2 and 1"):
        ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="times above 0, found 0"):
        ratio([1.0], [0.0])


def test_a_spread_is_the_median_the_least_and_the_most() -> None:
    found = spread([3.0, 1.0, 2.0, 9.0])
    assert (found.median, found.least, found.most, found.rounds) == (2.5, 1.0, 9.0, 4)
    with pytest.raises(ValueError, match="at least one round"):
        spread([])


def test_the_best_of_several_sides_has_the_least_median() -> None:
    assert best_of({"sometimes fast": [1.0, 9.0, 9.0], "steady": [5.0, 5.0, 5.0]}) == "steady"


def test_every_round_begins_with_another_side_and_has_all_of_them() -> None:
    names = ["a", "b", "c"]
    orders = [rotated(names, number) for number in range(3)]
    assert [order[0] for order in orders] == names
    assert all(sorted(order) == names for order in orders)
    assert rotated([], 4) == []
