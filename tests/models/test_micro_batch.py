"""The planner: the best cut of all there are, within its bounds, in the order of the input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models import micro_batch
from models.costs import Costs
from models.micro_batch import even_edges, finished_at, plan_micro_batches

#: Seconds of calls, as somebody may have measured them: shapes in any order, with any times.
MEASURED = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 80), st.floats(1e-5, 1e-1)), max_size=12)
PRIOR = st.tuples(*[st.floats(0, 1e-2)] * 3, st.floats(0, 1e-5)).filter(lambda prior: sum(prior) > 1e-6)


def costs_of(prior: tuple[float, ...], measured: list[tuple[int, int, float]]) -> Costs:
    costs = Costs(prior)
    for rows, length, seconds in measured:
        costs.observe(rows, length, seconds)
    return costs


def best_of_all(
    ordered: NDArray[np.int64], table: NDArray[np.float64], max_rows: int, max_padded: int, pads: bool
) -> float:
    """The least sum over every one of the 2 ** (n - 1) cuts."""
    least = np.inf
    for cut in itertools.product((False, True), repeat=len(ordered) - 1):
        edges = [0, *(place + 1 for place, is_cut in enumerate(cut) if is_cut), len(ordered)]
        total = 0.0
        for start, stop in itertools.pairwise(edges):
            rows, longest = stop - start, int(ordered[start])
            fits = rows <= max_rows and (rows == 1 or rows * longest <= max_padded)
            alike = pads or longest == ordered[stop - 1]
            total += float(table[start, rows - 1]) if fits and alike else np.inf
        least = min(least, total)
    return least


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9),
    prior=PRIOR,
    measured=MEASURED,
    max_rows=st.integers(1, 10),
    max_padded=st.integers(10, 400),
    pads=st.booleans(),
)
def test_no_other_cut_of_the_ordered_rows_is_faster(
    lengths: list[int],
    prior: tuple[float, ...],
    measured: list[tuple[int, int, float]],
    max_rows: int,
    max_padded: int,
    pads: bool,
) -> None:
    costs = costs_of(prior, measured)
    given_lengths = np.asarray(lengths, np.int64)
    ordered = -np.sort(-given_lengths)
    table = costs.planning(max_rows, ordered)
    groups = plan_micro_batches(
        given_lengths, costs=costs, max_rows=max_rows, max_padded=max_padded, pads=pads, places=len(lengths)
    )
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    seconds = 0.0
    for group in groups:
        longest = int(given_lengths[group].max())
        assert len(group) <= max_rows
        assert len(group) == 1 or len(group) * longest <= max_padded
        assert pads or len(set(given_lengths[group].tolist())) == 1
        seconds += float(table[int(np.flatnonzero(ordered == longest)[0]), len(group) - 1])
    assert seconds == pytest.approx(best_of_all(ordered, table, max_rows, max_padded, pads))


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200)
    | st.lists(st.sampled_from([7, 8, 9]), min_size=1, max_size=200).map(sorted),
    places=st.integers(1, 40),
    max_rows=st.integers(1, 20),
    max_padded=st.integers(1, 2000),
    pads=st.booleans(),
)
def test_a_coarse_plan_keeps_every_bound_and_every_row(
    lengths: list[int], places: int, max_rows: int, max_padded: int, pads: bool
) -> None:
    sizes = np.asarray(lengths, np.int64)
    groups = plan_micro_batches(
        sizes, costs=Costs(), max_rows=max_rows, max_padded=max_padded, pads=pads, places=places
    )
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= max_rows
        assert len(group) == 1 or len(group) * sizes[group].max() <= max_padded
        assert pads or len(set(sizes[group].tolist())) == 1


def test_longest_first_and_ties_in_the_order_of_the_input() -> None:
    groups = plan_micro_batches(np.asarray([3, 9, 3, 9, 3]), costs=Costs(), max_rows=8)
    assert np.concatenate(groups).tolist() == [1, 3, 0, 2, 4]


def test_where_a_call_costs_nothing_no_row_is_padded() -> None:
    lengths = np.asarray([5, 9, 5, 7, 9, 7, 7])
    groups = plan_micro_batches(lengths, costs=Costs((0, 0, 1e-4, 0)), max_rows=8, places=7)
    assert all(len(set(lengths[group].tolist())) == 1 for group in groups)


def test_where_a_call_is_all_that_costs_everything_goes_together() -> None:
    groups = plan_micro_batches(np.asarray([5, 900, 5, 7]), costs=Costs((1e-2, 0, 1e-9, 0)), max_rows=8)
    assert [len(group) for group in groups] == [4]


def test_what_was_measured_moves_the_cut() -> None:
    """By the formula 64 rows are best together; measured, they take four times as long as in eights."""
    lengths = np.full(64, 32)
    costs = Costs((1e-3, 0, 1e-5, 0))
    assert [len(group) for group in plan_micro_batches(lengths, costs=costs, max_rows=64)] == [64]
    for _ in range(8):
        costs.observe(64, 32, 8e-2)
        costs.observe(32, 32, 4e-2)
        costs.observe(16, 32, 2e-2)
        costs.observe(8, 32, 2.5e-3)
    sizes = [len(group) for group in plan_micro_batches(lengths, costs=costs, max_rows=64, places=64)]
    assert max(sizes) < 16
    assert sum(sizes) == 64


def test_groups_of_one_length_stay_so_however_few_places_are_looked_at() -> None:
    lengths = np.repeat(np.arange(10, 20), 96)
    groups = plan_micro_batches(lengths, costs=Costs(), max_rows=64, pads=False, places=10)
    assert all(len(set(lengths[group].tolist())) == 1 for group in groups)
    assert len(groups) < 40


def test_a_fast_model_is_not_planned_for_longer_than_it_runs() -> None:
    """So many places to cut are looked at as a hundredth of the model's time allows."""
    looked: list[int] = []

    class Counted(Costs):
        def planning(self, max_rows: int, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
            looked.append(len(lengths))
            return super().planning(max_rows, lengths)

    lengths = np.arange(1, 1025)
    plan_micro_batches(lengths, costs=Counted((0, 0, 1e-5, 0)), max_rows=64)
    plan_micro_batches(lengths, costs=Counted((0, 0, 1e-8, 0)), max_rows=64)
    assert looked[0] == 1024
    assert looked[1] < 20


@settings(max_examples=200, deadline=None)
@given(count=st.integers(1, 60), prior=PRIOR, measured=MEASURED, most=st.integers(1, 30), streams=st.integers(1, 4))
def test_of_all_even_cuts_of_one_length_none_is_done_sooner(
    count: int, prior: tuple[float, ...], measured: list[tuple[int, int, float]], most: int, streams: int
) -> None:
    seconds = costs_of(prior, measured).planning(min(most, count), np.asarray([9]))[0]
    done = {}
    for groups in range(-(-count // len(seconds)), count + 1):
        sizes = [len(part) for part in np.array_split(np.arange(count), groups)]
        done[groups] = max(sum(seconds[size - 1] for size in sizes[turn::streams]) for turn in range(streams))
    chosen = [len(part) for part in np.split(np.arange(count), even_edges(count, seconds, streams))]
    assert sum(chosen) == count
    assert sorted(chosen, reverse=True) == chosen
    assert chosen[0] - chosen[-1] <= 1
    assert done[len(chosen)] == pytest.approx(min(done.values()))


def test_pieces_of_one_length_of_a_fast_model_are_shared_out_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    search = micro_batch.best_edges
    monkeypatch.setattr(micro_batch, "best_edges", lambda *of, **so: searched.append(1) or search(*of, **so))
    costs = Costs((1e-5, 1e-6, 0, 0))
    groups = plan_micro_batches(np.full(1000, 3), costs=costs, max_rows=64, max_padded=120, streams=2)
    assert sorted({len(group) for group in groups}) == [38, 39], (
        "120 padded tokens are 40 rows; and each stream has as many"
    )
    assert np.concatenate(groups).tolist() == list(range(1000))
    assert not searched
    plan_micro_batches(np.asarray([3] * 999 + [4]), costs=costs, max_rows=64)
    assert searched


def test_a_small_window_leaves_no_stream_without_work() -> None:
    lengths = np.full(64, 64)
    costs = Costs((1e-3, 0, 1e-5, 0))
    assert [len(group) for group in plan_micro_batches(lengths, costs=costs, max_rows=64)] == [64]
    assert [len(group) for group in plan_micro_batches(lengths, costs=costs, max_rows=64, streams=2)] == [32, 32]
    many = plan_micro_batches(np.full(64 * 40, 64), costs=costs, max_rows=64, streams=2)
    assert len(many) == 40, "where all of them are busy anyway, the sum is what counts"


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=80), prior=PRIOR, streams=st.integers(2, 5))
def test_several_streams_are_done_no_later_than_over_the_cut_for_one(
    lengths: list[int], prior: tuple[float, ...], streams: int
) -> None:
    sizes, costs = np.asarray(lengths, np.int64), Costs(prior)

    def done(groups: tuple[NDArray[np.int64], ...]) -> float:
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
        seconds = costs.seconds([len(group) for group in groups], [int(sizes[group].max()) for group in groups])
        return finished_at(seconds, streams)

    plans = [plan_micro_batches(sizes, costs=costs, max_rows=32, streams=at_once) for at_once in (1, streams)]
    assert done(plans[1]) <= done(plans[0]) * (1 + 1e-9)


def test_no_rows_make_no_micro_batch() -> None:
    assert plan_micro_batches(np.zeros(0, np.int64), costs=Costs(), max_rows=8) == ()
