"""Drawing rows: of every size, from many places, the same ones every time, and never the whole input."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from batch.choose.draw import GROUPS, Drawn, draw_rows, spread_order, spread_ranks
from batch.columns import OWN_ROW, OWN_SOURCE, job_columns
from batch.plan import make_plan
from batch.spec import make_job
from batch.stores.storage import list_sources
from tests.batch.own_models import WordCount
from tests.batch.places import WORD_COUNT, Folder, put_table


def draw(place: Folder, *, rows: int = 64, where: str | None = None) -> Drawn | None:
    settings = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/", "where": where}
    columns = job_columns(make_job(settings), WordCount.spec)
    found = list_sources(place.url + "in/")
    plan = make_plan(found.store, found.objects, columns, before=[], shard_mb=1)
    return draw_rows(found.store, [plan], columns, rows=rows)


def drawn(place: Folder, *, rows: int = 64, where: str | None = None) -> pa.RecordBatch:
    found = draw(place, rows=rows, where=where)
    assert found is not None
    assert found.sizes.tolist() == [0 if n is None else n for n in pc.utf8_length(found.rows.column(0)).to_pylist()]
    return found.rows


def texts(count: int, first: int = 0) -> pa.Table:
    """Texts of ever more words."""
    return pa.table(
        {"id": range(first, first + count), "text": ["word " * (i + 1) for i in range(first, first + count)]}
    )


def test_rows_are_drawn_from_every_file_with_the_shortest_the_longest_and_a_null(folder: Folder) -> None:
    for number in range(5):
        put_table(folder, f"in/{number}.parquet", texts(100, first=100 * number))
    put_table(folder, "in/5.parquet", pa.table({"id": [0, 1], "text": [None, "a"]}))
    found = drawn(folder)
    assert found.num_rows == 64
    assert found.schema.names == ["text", OWN_SOURCE, OWN_ROW]
    counts = Counter(found.column(OWN_SOURCE).to_pylist())
    assert set(counts) == {f"{folder.url}in/{number}.parquet" for number in range(6)}
    sizes = pc.utf8_length(found.column("text")).to_pylist()
    assert sizes.count(None) == 1
    known = [size for size in sizes if size is not None]
    assert (min(known), max(known)) == (1, 5 * 500)
    places = set(zip(found.column(OWN_SOURCE).to_pylist(), found.column(OWN_ROW).to_pylist(), strict=True))
    assert len(places) == 64, "a row was drawn twice"


def test_the_longest_row_of_a_large_row_group_is_drawn_though_it_lies_at_its_end(folder: Folder) -> None:
    rows = pa.table({"id": range(2000), "text": ["a" * (i + 1) for i in range(2000)]})
    put_table(folder, "in/a.parquet", rows, row_group_size=2000)
    sizes = pc.utf8_length(drawn(folder).column("text")).to_pylist()
    assert (len(sizes), min(sizes), max(sizes)) == (64, 1, 2000)


def test_half_of_the_rows_are_of_the_shorter_half_and_what_was_looked_at_stands_for_all(folder: Folder) -> None:
    rows = pa.table({"id": range(2000), "text": ["a" * (i + 1) for i in range(2000)]})
    put_table(folder, "in/a.parquet", rows, row_group_size=2000)
    found = draw(folder)
    assert found is not None
    assert np.sum(found.sizes <= 1000) >= 44
    assert abs(found.looked_at.mean() - 1000) < 20
    assert set(found.sizes.tolist()) <= set(found.looked_at.tolist())


@pytest.mark.parametrize(("ranks", "count"), [(64, 64), (65, 64), (128, 64), (5000, 64), (9, 4), (3, 3), (7, 1)])
def test_ranks_are_as_many_as_asked_for_and_none_twice(ranks: int, count: int) -> None:
    for shorter in (False, True):
        chosen = spread_ranks(ranks, count, shorter=shorter)
        assert len(set(chosen.tolist())) == len(chosen) == count
        assert chosen.max() < ranks
        assert count == 1 or (chosen[0], chosen[-1]) == (0, ranks - 1)


def test_the_same_input_gives_the_same_rows(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(900), row_group_size=50)
    assert drawn(folder).equals(drawn(folder))


def test_a_small_input_is_drawn_whole(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(7))
    assert sorted(drawn(folder).column(OWN_ROW).to_pylist()) == list(range(7))


def test_only_a_few_row_groups_of_a_large_input_are_read(folder: Folder) -> None:
    for number in range(40):
        put_table(folder, f"in/{number:02}.parquet", texts(60, first=60 * number), row_group_size=20)
    counts = Counter(drawn(folder).column(OWN_SOURCE).to_pylist())
    assert len(counts) == GROUPS
    numbers = sorted(int(name[-10:-8]) for name in counts)
    assert numbers[0] < 5, "the files are not spread over the listing"
    assert numbers[-1] > 34


def test_a_filter_is_kept_to_and_looked_beyond_the_first_row_groups_for(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(600), row_group_size=20)
    found = drawn(folder, where="id > 100")
    assert min(found.column(OWN_ROW).to_pylist()) > 100
    rare = drawn(folder, where="id > 575").column(OWN_ROW).to_pylist()
    assert set(rare) <= set(range(576, 600))
    assert {576, 599} <= set(rare), "the shortest or the longest is not among them"
    assert draw(folder, where="id > 9000") is None


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 100])
def test_spread_order_has_every_number_once(count: int) -> None:
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    if count == 8:
        assert order == [0, 4, 2, 6, 1, 5, 3, 7]
