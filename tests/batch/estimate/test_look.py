"""Looking at rows: evenly, within bounds, behind the filter, and with what the footers said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batch.columns import OWN_ROW
from batch.estimate import look
from batch.estimate.look import EvenDraw, Seen, distinct_shares, even_rows, look_at
from batch.estimate.survey import InputSurvey, survey_input
from batch.prepare import prepare_job
from batch.spec import make_job
from tests.batch.places import WORD_COUNT, Folder, put_table, texts


def seen_in(folder: Folder, **settings: Any) -> tuple[InputSurvey, Sequence[Seen]]:
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    prepared = prepare_job(make_job({"model": WORD_COUNT, **places, **settings}), dry=True)
    survey = survey_input(prepared.source, prepared.shards, prepared.columns)
    return survey, look_at(prepared.source, survey, prepared.columns)


def test_footers_say_how_many_bytes_a_row_of_every_row_group_has(folder: Folder) -> None:
    for number, words in enumerate([3, 300, 30]):
        values = [f"{row} " + "word " * words for row in range(200)]
        put_table(folder, f"in/{number}.parquet", pa.table({"id": range(200), "text": values}), row_group_size=100)
    survey, _ = seen_in(folder)
    found = [round(group.bytes_per_row / 5) for group in survey.groups]
    assert [words // 10 * 10 for words in found] == [0, 0, 300, 300, 30, 30]
    assert survey.rows == sum(group.rows for group in survey.groups) == 600
    assert all(0 < group.kept_bytes < group.fetched_bytes for group in survey.groups)


def test_the_rows_of_a_limit_are_those_that_are_surveyed(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(1000), row_group_size=100)
    survey, seen = seen_in(folder, limit=250)
    assert [group.rows for group in survey.groups] == [100, 100, 50]
    assert sum(one.passed for one in seen) == 250


def test_row_groups_that_statistics_rule_out_are_not_looked_at(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(1000), row_group_size=100)
    survey, seen = seen_in(folder, where="id >= 750")
    assert [group.first_row for group in survey.groups] == [700, 800, 900]
    assert [round(one.share, 2) for one in seen] == [0.5, 1.0, 1.0]
    assert survey.rows == 1000
    assert survey.admitted is None


def test_what_a_limit_counted_behind_a_filter_is_known(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(1000), row_group_size=100)
    survey, _ = seen_in(folder, where="id % 7 = 3".replace("% 7 = 3", "> 10"), limit=500)
    assert survey.admitted == 500


def test_of_more_objects_than_are_read_the_others_are_taken_to_be_alike(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        put_table(folder, f"in/{number:02}.parquet", texts(50))
    monkeypatch.setattr("batch.estimate.survey.MOST_OBJECTS", 4)
    survey, _ = seen_in(folder)
    assert len(survey.groups) == 4
    assert survey.weights.sum() == survey.rows == 600


def test_a_row_group_is_read_no_further_than_its_share_and_what_that_skews_is_known(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [f"{row} " + "word " * (row // 400) for row in range(20_000)]
    put_table(folder, "in/a.parquet", pa.table({"text": values}), use_dictionary=False)
    monkeypatch.setattr(look, "READ_BYTES", 200_000)
    survey, (one,) = seen_in(folder)
    assert one.scanned < survey.groups[0].rows / 2
    assert one.skew == pytest.approx(look.MOST_SKEW), "the rest is longer by far than what was read"
    assert one.read_bytes < survey.groups[0].fetched_bytes / 2


@pytest.mark.parametrize("windows", [[1000], [1, 2, 3, 400, 594], [7] * 142 + [6]])
@pytest.mark.parametrize("wanted", [1, 10, 64, 5000])
def test_rows_are_drawn_evenly_however_they_come(windows: list[int], wanted: int) -> None:
    draw = EvenDraw(rows=wanted, size_bytes=1 << 30)
    start = 0
    for size in windows:
        draw.add(pa.record_batch({OWN_ROW: np.arange(start, start + size)}))
        start += size
    rows = draw.rows()
    assert rows is not None
    numbers = rows.column(OWN_ROW).to_numpy()
    assert min(wanted, 1000) <= len(numbers) < max(2 * wanted, 1001 if wanted > 1000 else 2)
    assert len(set(np.diff(numbers).tolist())) <= 1, "not evenly"
    assert numbers[0] == 0


def test_wide_rows_are_fewer() -> None:
    draw = EvenDraw(rows=100, size_bytes=1 << 20)
    for _ in range(10):
        draw.add(pa.record_batch({"image": pa.array([b"x" * 100_000] * 10, pa.binary())}))
    rows = draw.rows()
    assert rows is not None
    assert 1 <= rows.num_rows <= 10


def test_values_that_come_again_are_counted_once() -> None:
    assert distinct_shares(pa.array(["a", "b", "a", "a"])) == (0.5,)
    assert distinct_shares(pa.array(["a", "b", "a", "a"]).dictionary_encode()) == (0.5,)
    assert distinct_shares(pa.array([[1], [1]])) == (1.0,)
    assert distinct_shares(pa.array([str(row % 128) for row in range(512)])) == (1.0, 0.5, 0.25)


def test_even_rows_are_spread_over_all() -> None:
    assert even_rows(3, 9).tolist() == [0, 1, 2]
    assert even_rows(100, 4).tolist() == [12, 37, 62, 87]
