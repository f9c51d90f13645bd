"""The benchmark of estimates: twenty data sets, and how their plans are judged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.foreseen_data import DATA_SETS, cut_up, in_order
from benchmarks.page import judge_found
from benchmarks.sections.estimates import Once, report


def once(value: float, low: float, high: float, took: float) -> Once:
    names = ("seconds", "output_bytes", "memory_bytes")
    estimate = {name: {"value": value, "low": low, "high": high} for name in names} | {"sample": {"seconds": 5.0}}
    return Once(estimate=estimate, truth={**dict.fromkeys(names, took), "rows": 1})


def found_of(held: int, *, width: float = 0.2) -> list[list[str]]:
    """The targets' lines, where so many of twenty held the truth."""
    runs = {
        data.name: [once(10.0, 10 - 10 * width, 10 + 10 * width, 10.0 if number < held else 99.0)]
        for number, data in enumerate(DATA_SETS)
    }
    return [judge_found(found) for found in report(DATA_SETS, runs, {}, 1, False).found]


def test_there_are_twenty_data_sets_of_different_names() -> None:
    assert len({data.name for data in DATA_SETS}) == len({data.about for data in DATA_SETS}) == len(DATA_SETS) == 20
    assert {data.model for data in DATA_SETS} == {"minilm", "fashion-resnet", "efficientnet-lite0", "vowels-bilstm"}


@pytest.mark.parametrize(("held", "judged"), [(20, "reached"), (18, "reached"), (17, "**not reached**")])
def test_eighteen_of_twenty_is_what_was_asked(held: int, judged: str) -> None:
    times, width = found_of(held)
    assert (times[1], times[2], times[3]) == ("at least 18", str(held), judged)
    assert width[3] == "reached"


def test_intervals_that_hold_everything_by_being_wide_do_not_reach_the_target() -> None:
    assert found_of(20, width=0.9)[1][3] == "**not reached**"


def test_a_job_that_failed_leaves_the_targets_unjudged() -> None:
    runs = {data.name: [once(10, 8, 12, 10)] for data in DATA_SETS[1:]} | {DATA_SETS[0].name: []}
    result = report(DATA_SETS, runs, {DATA_SETS[0].name: "no room"}, 1, False)
    assert result.found == []
    assert "did not run: no room" in result.lines[0]["rows"][0]


def test_rows_are_cut_into_files_and_row_groups_in_their_order() -> None:
    rng = np.random.default_rng(0)
    rows = pa.table({"id": range(101), "text": ["x" * int(size) for size in rng.integers(1, 90, 101)]})
    files = cut_up(in_order(rows, "down"), files=4, cuts=3)
    assert [len(groups) for groups in files.values()] == [3, 3, 3, 3]
    joined = pa.concat_tables([group for groups in files.values() for group in groups])
    assert sorted(joined.column("id").to_pylist()) == list(range(101))
    assert (np.diff(pc.utf8_length(joined.column("text")).to_numpy()) <= 0).all()
