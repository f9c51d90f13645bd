"""A shard whose part another machine puts meanwhile is left where it is, and what it has cost is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from batch.overtaken import Overtaken, leave_when_there
from batch.predict import PredictedRows
from batch.stores.local_store import LocalStore
from batch.supervise.left import Left
from tests.batch.array_job import NOTES, asked, assert_once, command, machine, put_shards
from tests.batch.command import ended, started, tandem
from tests.batch.places import Bucket, part_keys
from tests.fault_proxy import FaultProxy, Rule


def windows(store: LocalStore, *, puts_after: int) -> Iterator[PredictedRows]:
    rows = pa.record_batch({"id": [1, 2, 3]})
    for number in range(5):
        if number == puts_after:
            store.put_if_absent("part", b"x", attempt="another")
        yield cast(Any, SimpleNamespace(rows=rows))


def test_no_further_window_is_run_once_the_part_is_there(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    passed = leave_when_there(windows(store, puts_after=2), store, "part", every_s=0)
    with pytest.raises(Overtaken) as left:
        list(passed)
    assert left.value.rows == 9


def test_all_windows_pass_where_nobody_puts_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert len(list(leave_when_there(windows(store, puts_after=99), store, "part", every_s=0))) == 5


def test_what_was_run_for_nothing_is_said(s3_place: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    put_shards(s3_place, 1)
    noted = {NOTES: str(tmp_path / "notes")}
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-"))
    with started(*machine(s3_place, 0, 1), AWS_ENDPOINT_URL=proxy.url, **noted) as slow:
        rule.wait_until_held()
        assert tandem(*command(s3_place), **noted).code == 0
        rule.release()
        end = ended(slow)
    assert end.code == 0, end.err
    assert "already committed" in end.err
    assert_once(s3_place, 1)
    assert len(part_keys(s3_place)) == 1
    assert asked(tmp_path / "notes").total() == 40
    assert "20 of them in vain" in end.out


def test_what_is_given_back_is_taken_next_and_what_is_held_is_not_taken_in_its_turn() -> None:
    left = Left(range(4))
    left.hold(1)
    assert [left.take(), left.take()] == [0, 2]
    left.give_back(1)
    assert [left.take(), left.take()] == [1, 3]
    assert not left
