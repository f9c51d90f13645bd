"""From a few row groups to all: the truth lies within the interval as often as that says, however files are ordered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from batch.estimate.extrapolate import (
    FEW,
    Total,
    choose_groups,
    interval_of,
    mean_of,
    order_groups,
    spread_out,
    sum_up,
)
from batch.estimate.look import GROUPS, even_rows

#: A row group as its rows' lengths, in the order in which they lie there.
Groups = list[NDArray[np.float64]]
MOST_TOKENS = 256.0
SEEDS = 60


def lengths(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Bytes of texts as people have them: most are short, some very long."""
    return rng.lognormal(5.0, 1.1, count)


def unsorted(rng: np.random.Generator) -> Groups:
    return list(np.split(lengths(rng, 200 * 100), 200))


def sorted_up(rng: np.random.Generator) -> Groups:
    return list(np.split(np.sort(lengths(rng, 200 * 100)), 200))


def sorted_in_each(rng: np.random.Generator) -> Groups:
    return [np.sort(group) for group in unsorted(rng)]


def late_heavy(rng: np.random.Generator) -> Groups:
    return [*(rng.uniform(20, 60, 100) for _ in range(97)), *(rng.uniform(800, 1200, 3000) for _ in range(3))]


def unequal_groups(rng: np.random.Generator) -> Groups:
    return [lengths(rng, int(rows)) * rng.uniform(0.5, 2) for rows in rng.integers(1, 800, 150)]


def few_groups(rng: np.random.Generator) -> Groups:
    return list(np.split(lengths(rng, 5 * 2000), 5))


def seconds_of(group: NDArray[np.float64]) -> NDArray[np.float64]:
    """What rows take, by their bytes: nothing beyond what the model reads of them."""
    tokens = np.minimum(group / 4, MOST_TOKENS)
    return np.asarray(tokens + tokens**2 / 500)


def estimated(groups: Groups, *, rows: int = 1536) -> Total:
    """As estimate_job does it: footers of all, rows of a few."""
    counts = np.asarray([len(group) for group in groups], np.float64)
    size = np.asarray([group.sum() for group in groups])
    stand = order_groups(size / counts)
    looked_at = choose_groups(stand, np.sqrt(counts * size), GROUPS)
    each = rows // len(looked_at)
    found = [mean_of(seconds_of(g[even_rows(len(g), each)]), among=len(g)) for g in (groups[i] for i in looked_at)]
    means, variances = (np.asarray(values) for values in zip(*found, strict=True))
    return sum_up(stand, counts, looked_at, means, variances)


@pytest.mark.parametrize("make", [unsorted, sorted_up, sorted_in_each, late_heavy, unequal_groups, few_groups])
def test_the_truth_is_inside_in_nine_of_ten_cases_and_near(make: Callable[[np.random.Generator], Groups]) -> None:
    held, widths, off = 0, [], []
    for seed in range(SEEDS):
        groups = make(np.random.default_rng(seed))
        truth = float(sum(seconds_of(group).sum() for group in groups))
        found = interval_of(estimated(groups))
        held += found.low <= truth <= found.high
        widths.append(found.width)
        off.append(found.value / truth - 1)
    assert held >= 0.83 * SEEDS, "fewer than nine of ten, by more than chance makes of sixty"
    assert np.median(widths) < 0.08
    assert abs(np.mean(off)) < 0.03


def test_one_heavy_row_group_among_light_ones_is_looked_at() -> None:
    bytes_per_row = np.full(500, 40.0)
    bytes_per_row[431] = 9000.0
    rows = np.full(500, 100.0)
    assert 431 in choose_groups(order_groups(bytes_per_row), rows * np.sqrt(bytes_per_row), GROUPS)


def test_row_groups_of_like_rows_are_looked_at_all_over_the_input() -> None:
    chosen = choose_groups(order_groups(np.full(1000, 50.0)), np.ones(1000), 10)
    assert chosen.min() == 0
    assert chosen.max() == 999
    assert np.diff(np.sort(chosen)).max() < 200


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 400])
def test_so_many_different_row_groups_are_chosen_as_were_asked_for(count: int) -> None:
    rng = np.random.default_rng(count)
    chosen = choose_groups(order_groups(rng.uniform(1, 1e4, count)), rng.uniform(0, 1, count) ** 9 + 1e-9, 10)
    assert len(set(chosen.tolist())) == min(count, 10)


def test_what_was_looked_at_counts_as_it_was_found_and_the_rest_as_its_neighbours() -> None:
    stand = np.asarray([1.0, 2.0, 3.0, 4.0])
    found = spread_out(stand, np.asarray([3, 0]), np.asarray([40.0, 10.0]))
    assert found.tolist() == [10.0, 20.0, 30.0, 40.0]
    total = sum_up(stand, np.asarray([1.0, 10.0, 10.0, 1.0]), np.asarray([3, 0]), np.asarray([40.0, 10.0]), np.zeros(2))
    assert total.value == 550.0
    # Two row groups in one gap of 30: both as wrong as their neighbours, and each wrong by itself.
    assert total.error == pytest.approx(np.sqrt(FEW * (20**2 + 2 * 10**2) * 30**2 / 2))


def test_where_every_row_was_looked_at_nothing_is_uncertain() -> None:
    group = np.asarray([1.0, 5.0, 9.0])
    mean, variance = mean_of(group, among=3)
    total = sum_up(np.zeros(1), np.asarray([3.0]), np.asarray([0]), np.asarray([mean]), np.asarray([variance]))
    assert (total.value, total.error) == (15.0, 0.0)
    found = interval_of(total)
    assert found.low == found.value == found.high == 15.0


def test_an_interval_is_never_below_nothing_nor_above_what_there_can_be() -> None:
    wide = interval_of(Total(value=100.0, error=300.0), at_most=120.0)
    assert 0 < wide.low < 100
    assert wide.high == 120.0
    nothing = interval_of(Total(value=0.0))
    assert (nothing.low, nothing.value, nothing.high, nothing.width) == (0.0, 0.0, 0.0, 0.0)
