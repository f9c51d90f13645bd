"""Plans of more shards than people read: the same shards in a tenth of the memory, and plans of before go on."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import pytest

from batch.commit import agree_on_plan, read_plans
from batch.errors import UsageError
from batch.shard import Piece, Plan, Shard, make_shard
from batch.shard_columns import FEW, Columns, hold
from batch.stores.local_store import LocalStore
from benchmarks.scale_plan import SCHEMA, cut_all, make_footers

SHARDS = 40_000


def odd_shards(count: int) -> list[Shard]:
    """Of several pieces, of an object without rows, with a stop row, of many partitions and of names like any."""
    return [
        make_shard(
            f'lang=e"n{number % 7}/',
            [
                Piece(key=f"ä\\\t{number}", etag='"a"', size_bytes=number, row_groups=()),
                Piece(key="much", etag='"b"', size_bytes=2**40, row_groups=(number, number + 1), stop_row=number),
            ],
            2**33 + number,
            folder=f"folder{number % 7}/",
        )
        for number in range(count)
    ]


def plan_of(shards: list[Shard]) -> Plan:
    return Plan(number=0, objects={"much": '"b"'}, shards=hold(shards), schema=SCHEMA, admitted=3)


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_a_plan_that_is_read_back_has_the_same_shards(count: int) -> None:
    shards = odd_shards(count)
    plan = plan_of(shards)
    again = Plan.from_bytes(plan.to_bytes())
    assert isinstance(again.shards, Columns) == (count > FEW)
    assert list(again.shards) == list(plan.shards) == shards
    assert (again.rows, again.admitted, again.objects) == (sum(one.rows for one in shards), 3, plan.objects)
    assert again.schema == SCHEMA
    assert again.shards[-1] == shards[-1]
    assert list(again.shards[5:9]) == shards[5:9]
    with pytest.raises(IndexError):
        again.shards[count]


def test_forty_thousand_shards_take_less_than_a_hundred_bytes_each() -> None:
    footers = list(make_footers(SHARDS, 100))
    tracemalloc.start()
    try:
        shards = hold(cut_all(footers))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(shards) == SHARDS
    assert kept < 100 * SHARDS
    assert peak < 1_000 * FEW + 100 * SHARDS


def test_a_shard_is_named_as_it_was_before() -> None:
    for shard in odd_shards(20):
        content = [[one.key, one.etag, list(one.row_groups), one.stop_row] for one in shard.pieces]
        assert shard.id == hashlib.sha256(json.dumps([shard.partition, content]).encode()).hexdigest()[:20]


def test_a_plan_of_many_shards_in_json_as_it_was_before_is_followed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    shards = odd_shards(FEW + 1)
    old = json.loads(plan_of([]).to_bytes()) | {"shards": [asdict(shard) for shard in shards]}
    assert store.put_if_absent("_tandem/plan-0.json", json.dumps(old, sort_keys=True).encode(), attempt="before")
    agreed = agree_on_plan(store, plan_of(odd_shards(FEW + 2)), attempt="now")
    assert list(agreed.shards) == shards
    assert list(read_plans(store)[0].shards) == shards


@pytest.mark.parametrize("cut", [8, 1000, -200])
def test_a_plan_that_was_cut_off_is_refused_in_one_line(tmp_path: Path, cut: int) -> None:
    store = LocalStore(str(tmp_path))
    store.put_if_absent("_tandem/plan-0.json", plan_of(odd_shards(FEW + 1)).to_bytes()[:cut], attempt="one")
    with pytest.raises(UsageError, match="is no plan that this version reads"):
        read_plans(store)


def test_row_groups_that_are_no_neighbours_are_not_taken_for_others() -> None:
    shard = make_shard("", [Piece(key="a", etag="b", size_bytes=1, row_groups=(1, 3))], 1)
    with pytest.raises(ValueError, match="no neighbours"):
        Columns([shard])
