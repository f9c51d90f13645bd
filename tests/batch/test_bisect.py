"""Bisecting: every poison row is found with few probes, none that is well is convicted, and a broken model is told."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Sequence

import pytest

from batch.errors import Interrupted
from batch.supervise.bisect import ALONE, Passed, Probe, Suspects, find_poison
from batch.supervise.journal import Step

#: Whether a process survives a call of these rows.
Survives = Callable[[Sequence[int]], bool]


def search(
    groups: Sequence[Suspects],
    survives: Survives,
    controls: Iterable[int] = (),
    *,
    answered: Sequence[bool] | None = None,
    nulls: Collection[int] = (),
    elsewhere: Sequence[bool | None] = (),
    is_any_well: bool = True,
) -> tuple[list[int], list[Probe], int]:
    """What is convicted, the probes that it took, and their calls.

    Under a retry `answered` rows pass or not; `nulls` pass, and the model is not shown them. Rows from `elsewhere`
    pass, end their process, or (None) say nothing: there are none, or the model is not shown them.
    """
    probes, calls = [], 0
    asks = find_poison(groups, list(controls), is_any_well=is_any_well, is_believed=answered is not None)
    try:
        probe = next(asks)
        while True:
            probes.append(probe)
            came: Passed | None
            if probe.is_elsewhere:
                place = probe.rows[0]
                passes = elsewhere[place] if place < len(elsewhere) else None
                came = Passed(rows=passes is not False, shown=passes is True)
            elif probe.is_answered:
                assert answered is not None
                place = probe.rows[0]
                came = Passed(rows=answered[place], shown=answered[place]) if place < len(answered) else None
            elif probe.is_singly:
                rows = shown = 0
                while rows < len(probe.rows) and not (probe.is_control and shown):
                    is_null = probe.rows[rows] in nulls
                    calls += not is_null
                    if not is_null and not survives(probe.rows[rows : rows + 1]):
                        break
                    rows, shown = rows + 1, shown + (not is_null)
                came = Passed(rows=rows, shown=shown)
            else:
                here = [row for row in probe.rows if row not in nulls]
                is_well = not here or survives(here)
                came = Passed(rows=len(probe.rows), shown=len(here)) if is_well else Passed()
                calls += 1
            probe = asks.send(came)
    except StopIteration as end:
        return end.value, probes, calls


def spares(*poison: int) -> Survives:
    return lambda rows: not set(poison) & set(rows)


@pytest.mark.parametrize("bad", [1, 2, 3])
@pytest.mark.parametrize("rows", [2, 3, 16, 100, 512, 5000])
def test_poison_is_found_with_at_most_four_log2_calls_a_row(rows: int, bad: int) -> None:
    dice = random.Random(rows * bad)
    for _ in range(50):
        poison = dice.sample(range(rows), min(bad, rows - 1))
        found, _, calls = search([Suspects(rows=range(rows), step="forward")], spares(*poison))
        assert sorted(found) == sorted(poison)
        assert calls <= len(poison) * 4 * math.log2(rows)


def test_a_row_is_convicted_only_after_failing_twice_alone_in_fresh_processes() -> None:
    _, probes, _ = search([Suspects(rows=range(64), step="forward")], spares(17))
    alone = [probe for probe in probes if probe.rows == (17,)]
    assert len(alone) == ALONE == 2
    assert all(probe.is_fresh and probe.step == "decode" for probe in alone)


def test_rows_that_pass_convict_nobody_and_take_one_probe() -> None:
    assert search([Suspects(rows=range(512), step="forward")], spares()) == (
        [],
        [Probe(rows=tuple(range(512)), step="forward")],
        1,
    )


@pytest.mark.parametrize("failing", range(12))
def test_a_probe_that_fails_once_by_chance_convicts_nobody(failing: int) -> None:
    left = iter(range(1000))
    found, _, _ = search([Suspects(rows=range(64), step="forward")], lambda rows: next(left) != failing)
    assert found == []


def test_rows_that_hurt_only_together_are_not_convicted() -> None:
    found, _, _ = search([Suspects(rows=range(64), step="forward")], lambda rows: not {3, 40} <= set(rows))
    assert found == []


def test_the_likeliest_group_is_tried_first_and_the_others_only_if_it_is_well() -> None:
    groups = [Suspects(rows=range(16), step="forward"), Suspects(rows=range(16, 32), step="encode")]
    found, probes, _ = search(groups, spares(5))
    assert found == [5]
    assert {probe.step for probe in probes if len(probe.rows) > 1} == {"forward"}
    found, probes, _ = search(groups, spares(17))
    assert found == [17]
    assert [probe.step for probe in probes[:2]] == ["forward", "encode"]


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_where_no_row_passes_it_is_not_the_rows(rows: int) -> None:
    with pytest.raises(Interrupted, match="none passed"):
        search([Suspects(rows=range(rows), step="forward")], lambda rows: False, controls=[100, 101, 102])


def test_a_row_that_was_alone_is_convicted_where_another_one_passes() -> None:
    found, probes, _ = search([Suspects(rows=[7], step="forward")], spares(7), controls=[1, 2], elsewhere=[False])
    assert found == [7]
    assert [probe.rows for probe in probes] == [(7,), (7,), (1, 2)]


@pytest.mark.parametrize("step", ["encode", "forward"])
@pytest.mark.parametrize("nulls", [{0}, {0, 1, 2}, {*range(0, 40, 2)}, {*range(5), *range(6, 40)}])
def test_a_null_that_passes_is_no_witness(step: Step, nulls: set[int]) -> None:
    group = [row for row in range(5, 16) if step == "encode" or row not in nulls]
    with pytest.raises(Interrupted, match="none passed"):
        search([Suspects(rows=group, step=step)], lambda rows: False, controls=range(41), nulls=nulls)


def test_among_nulls_a_control_that_passes_is_found_in_one_probe() -> None:
    nulls = {*range(40)} - {7, 33}
    found, probes, _ = search([Suspects(rows=[7], step="forward")], spares(7), controls=range(40), nulls=nulls)
    assert found == [7]
    assert [probe.is_control for probe in probes] == [False, False, True]


def test_rows_after_the_one_that_failed_are_tried_too() -> None:
    found, probes, _ = search([Suspects(rows=range(4), step="forward")], spares(0, 2))
    assert found == [0, 2]
    assert [probe.rows for probe in probes] == [(0, 1, 2, 3), (0,), (0,), (1, 2, 3), (2,), (2,), (3,)]


def test_the_only_row_there_is_can_be_poison() -> None:
    assert search([Suspects(rows=[0], step="forward")], spares(0))[0] == [0]


@pytest.mark.parametrize("poison", [(0,), (0, 1), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("elsewhere", [(True,), (None, True), (False, None, True)])
@pytest.mark.parametrize("is_any_well", [True, False])
def test_where_every_row_is_poison_one_from_elsewhere_that_passes_tells(
    poison: tuple[int, ...], elsewhere: tuple[bool | None, ...], is_any_well: bool
) -> None:
    group = [Suspects(rows=poison, step="forward")]
    found, _, _ = search(group, spares(*poison), poison, elsewhere=elsewhere, is_any_well=is_any_well)
    assert found == [*poison[:3]], "more of them are the next death's"


@pytest.mark.parametrize("elsewhere", [(False,), (None, False), (False, False, False)])
def test_where_not_even_rows_from_elsewhere_pass_the_only_row_there_is_is_not_convicted(
    elsewhere: tuple[bool | None, ...],
) -> None:
    with pytest.raises(Interrupted, match=f"{1 + elsewhere.count(False)} rows ended a worker each.*none passed"):
        search([Suspects(rows=[0], step="forward")], spares(0), [0], elsewhere=elsewhere, is_any_well=False)


def test_poison_in_front_of_rows_that_are_well_is_found() -> None:
    """Those that are tried first, to see whether any passes, are poison all."""
    group = [Suspects(rows=range(64), step="forward")]
    found, _, _ = search(group, spares(0, 1, 2), range(64), elsewhere=[True], is_any_well=False)
    assert found == [0, 1, 2]


@pytest.mark.parametrize("is_any_well", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4, 40])
@pytest.mark.parametrize("is_believed", [True, False])
def test_rows_that_are_not_there_any_more_are_not_convicted(rows: int, is_believed: bool, is_any_well: bool) -> None:
    """Another retry has settled some meanwhile, so that the shard has fewer to be run again."""
    group = [Suspects(rows=range(rows), step="forward")]
    asks = find_poison(group, range(rows), is_any_well=is_any_well, is_believed=is_believed)
    next(asks)
    if not (is_any_well or is_believed):
        asks.send(None)
    with pytest.raises(StopIteration) as end:
        asks.send(None)
    assert end.value.value == []


def test_of_rows_some_of_which_are_not_there_any_more_the_others_are_tried() -> None:
    asks = find_poison([Suspects(rows=[1, 2], step="forward")], is_believed=True)
    assert next(asks).rows == (1, 2)
    assert asks.send(Passed()).rows == (1,)
    assert asks.send(Passed(rows=1, shown=1)).rows == (2,)
    with pytest.raises(StopIteration) as end:
        asks.send(None)
    assert end.value.value == []


RETRIED = [Suspects(rows=range(10), step="forward")]


def test_rows_that_are_run_again_and_none_of_which_passes_are_convicted_where_an_answered_one_passes() -> None:
    found, probes, _ = search(RETRIED, lambda rows: False, answered=[False, True])
    assert found == [*range(10)]
    assert [probe.rows for probe in probes if probe.is_answered] == [(0,), (1,)]


def test_where_not_even_answered_rows_pass_a_retry_stops_at_the_first_row() -> None:
    probes = 0

    def survives(rows: Sequence[int]) -> bool:
        nonlocal probes
        probes += 1
        return False

    with pytest.raises(Interrupted, match="answered before ended a worker each"):
        search(RETRIED, survives, answered=[False] * 10)
    assert probes <= 6


@pytest.mark.parametrize("answered", [[], [False]])
def test_of_a_shard_with_too_few_answered_rows_some_suspect_has_to_pass(answered: list[bool]) -> None:
    with pytest.raises(Interrupted, match="none passed"):
        search(RETRIED, lambda rows: False, answered=answered)
    assert search(RETRIED, spares(*range(4)), answered=answered)[0] == [0, 1, 2]  # the fourth is the next death's
