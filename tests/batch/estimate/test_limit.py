"""--max-minutes, --max-cost: no shard is begun that would not be done, what is done stays, the same command goes on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from batch.errors import Interrupted, UsageError
from batch.estimate.experience import recall_pace, remember_pace
from batch.estimate.limit import Limit, LimitedProgress, check_first_shard, check_start, fitting_first, limit_name
from batch.progress import LogProgress
from batch.shard import Plan, Shard, make_shard
from batch.spec import JobSpec, make_job
from batch.stop import Stop
from tests.batch.command import ROOT, Command, assert_refused, job
from tests.batch.places import Folder, Place, part_keys, put_table, read_json, read_output, texts

PLAN = Plan(number=0, objects={}, shards=(), schema=pa.schema([]))


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def todo_of(*rows: int) -> list[tuple[Plan, Shard]]:
    return [(PLAN, make_shard(f"p={number}/", [], count)) for number, count in enumerate(rows)]


def ids(todo: list[tuple[Plan, Shard]]) -> list[str]:
    return [shard.id for _, shard in todo]


def limited(**settings: Any) -> JobSpec:
    return make_job({"model": "m", "input": "in", "output": "out", **settings})


@pytest.mark.parametrize(
    ("settings", "seconds", "name"),
    [
        ({"max_minutes": 2}, 120, "--max-minutes 2"),
        ({"max_cost": 0.5, "price": 10}, 180, "--max-cost 0.5 at --price 10"),
        ({"max_minutes": 2, "max_cost": 0.5, "price": 10}, 120, "--max-minutes 2"),
        ({"max_minutes": 9, "max_cost": 0.5, "price": 10}, 180, "--max-cost 0.5 at --price 10"),
        ({"price": 10}, None, None),
    ],
)
def test_of_two_limits_the_narrower_counts(settings: dict[str, float], seconds: float | None, name: str | None) -> None:
    found = limited(**settings)
    assert found.limit_s == seconds
    if name is not None:
        assert limit_name(found) == name


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_cost": 5}, "says nothing without price"),
        ({"max_minutes": 0}, "max_minutes"),
        ({"price": -1}, "price"),
        ({"max_minutes": float("inf")}, "max_minutes"),
    ],
)
def test_a_limit_that_says_nothing_is_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        limited(**settings)


def test_a_shard_is_begun_only_if_it_will_be_done_in_time() -> None:
    clock, todo = Clock(), todo_of(10, 10, 10)
    first, second, third = ids(todo)
    expected = {first: 20.0, second: 20.0, third: 25.0}
    limit = Limit(limited(max_minutes=1), todo, expected=expected, started=100.0, clock=clock)
    clock.now += 20
    limit.saw(first, 20.0)
    assert limit.reached is None
    clock.now += 20
    limit.saw(second, 20.0)
    assert limit.reached == "--max-minutes 1: 20 s are left, and the next shard takes about 25 s"
    limit.saw(third, None)
    assert limit.reached is None, "nothing is left that could be begun"


def test_a_shard_that_was_slower_than_expected_makes_the_next_ones_slower() -> None:
    clock, todo = Clock(), todo_of(10, 10, 10)
    first, second, third = ids(todo)
    expected = dict.fromkeys((first, second, third), 10.0)
    limit = Limit(limited(max_minutes=1), todo, expected=expected, started=100.0, clock=clock)
    clock.now += 35
    limit.saw(first, 35.0)
    assert limit.reached is not None
    assert "takes about 35 s" in limit.reached


def test_without_an_estimate_the_pace_of_the_shards_so_far_is_held_against_the_time() -> None:
    clock, todo = Clock(), todo_of(10, 30, 10)
    first, _, _ = ids(todo)
    limit = Limit(limited(max_minutes=1), todo, expected=None, started=100.0, clock=clock)
    assert limit.reached is None, "the first is begun in any case"
    clock.now += 20
    limit.saw(first, 20.0)
    assert limit.reached is not None
    assert "takes about 60 s" in limit.reached


def test_what_workers_have_in_hand_is_not_the_next_shard() -> None:
    clock, todo = Clock(), todo_of(1, 1, 1, 1)
    expected = dict(zip(ids(todo), [50.0, 50.0, 5.0, 500.0], strict=True))
    limit = Limit(limited(max_minutes=1), todo, expected=expected, started=100.0, clock=clock, at_once=2)
    limit.saw(ids(todo)[0], 50.0)
    assert limit.reached is None, "the second is in hand, and the third fits"
    limit.saw(ids(todo)[1], 50.0)
    assert limit.reached is not None, "the third is in hand, and the fourth does not fit"


def test_shards_that_fit_come_before_those_that_do_not_and_of_these_the_shortest_first() -> None:
    todo = todo_of(1, 2, 3, 4)
    expected = dict(zip(ids(todo), [90.0, 20.0, 10.0, 70.0], strict=True))
    found = fitting_first(todo, expected, left_s=60.0)
    assert [shard.rows for _, shard in found] == [2, 3, 4, 1]
    assert fitting_first(todo, None, left_s=60.0) == todo


def test_a_run_that_could_not_do_a_single_shard_does_not_begin() -> None:
    job = limited(max_minutes=1)
    check_first_shard(job, start_s=9.0, shard_s=50.0, shards=4)
    with pytest.raises(Interrupted, match=r"--max-minutes 1 gives a run 60 s.*2 min or more.*--shard-mb.*in any case"):
        check_first_shard(job, start_s=10.0, shard_s=110.0, shards=4)
    with pytest.raises(Interrupted, match=r"gives a run 60 s.*the shortest of 4 shards take 80 s.*same command again"):
        check_first_shard(job, start_s=30.0, shard_s=50.0, shards=4)
    check_start(job, start_s=59.0)
    with pytest.raises(Interrupted, match=r"the start alone took 61 s. Allow more if it does so again"):
        check_start(job, start_s=61.0)


def test_a_store_that_stalled_says_nothing_of_the_next_run() -> None:
    clock, todo = Clock(), todo_of(10, 10)
    limit = Limit(limited(max_minutes=1), todo, expected=None, started=100.0, clock=clock)
    with Stop() as stop:
        progress = LimitedProgress(LogProgress(), limit, stop, key="stalled")
        spent_s = {"read": 250.0, "encode": 0.1, "arithmetic": 0.5, "decode": 0.0, "write": 0.0, "commit": 50.0}
        progress.told("committed", shard=ids(todo)[0], rows=10, errors=0, seconds=300.0, spent_s=spent_s)
        assert stop.asked is not None, "this run's next shard would meet the same store"
    assert recall_pace("stalled") == pytest.approx(0.05)


@pytest.mark.parametrize(("where", "workers"), [("folder", 1), ("s3_place", 1), ("folder", 2)])
def test_a_job_that_ran_out_of_time_goes_on_by_the_same_command(
    request: pytest.FixtureRequest, command: Command, where: str, workers: int
) -> None:
    place: Place = request.getfixturevalue(where)
    shards = 5 if workers == 1 else 4
    for number in range(shards):
        put_table(place, f"in/p={number}/a.parquet", texts(12))
    # Every row takes 50 ms, and so a shard 0.6 s: after a few there is no time for another one.
    minutes = "0.05" if workers == 1 else "0.03"
    slow = ("--max-minutes", minutes, "--window-rows", "1", "--workers", str(workers))
    words = job(place, *slow, model="tests.batch.own_models:SlowArithmetic")
    ends = []
    for _ in range(2 * shards):  # where a start takes long, one run does nothing, and the next one a shard
        ends.append(command(*words))
        if ends[-1].code == 0:
            break
        assert ends[-1].code == 75, ends[-1].err
        assert f"--max-minutes {minutes}" in ends[-1].complaint
        assert "run the same command again" in ends[-1].complaint
    assert ends[-1].code == 0, "the runs came to nothing"
    assert len(ends) > 1, "one run did all, in more than its time"
    assert len(part_keys(place)) == shards
    assert read_output(place).num_rows == 12 * shards


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_whose_time_is_over_before_the_first_shard_begins_none(
    folder: Folder, command: Command, workers: int
) -> None:
    for number in range(3):
        put_table(folder, f"in/p={number}/a.parquet", texts(4))
    words = job(folder, "--workers", str(workers))
    assert command(*words, "--limit", "4").code == 0
    part = part_keys(folder)
    end = command(*words, "--limit", "12", "--replace", "--max-cost", "0.0000001", "--price", "1")
    assert_refused(end, 75, "--max-cost 1e-07 at --price 1 gives a run 0.00036 s", "the start alone took", "Allow more")
    assert not set(part_keys(folder)) - set(part), "a shard was begun"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_is_known_not_to_fit_is_not_begun(folder: Folder, command: Command, workers: int) -> None:
    """Nobody knows a model of one's own, but by the shards of the run before."""
    put_table(folder, "in/p=0/a.parquet", pa.table({"text": ["word " * count for count in range(50)]}))
    slow = ("--workers", str(workers), "--max-minutes", "0.1")
    words = job(folder, *slow, model="tests.batch.own_models:SlowRows")
    assert command(*words).code == 0
    put_table(folder, "in/p=1/a.parquet", pa.table({"text": ["word " * count for count in range(1000)]}))
    end = command(*words)
    assert_refused(end, 75, "--max-minutes 0.1 gives a run 6 s, and on this host the start and the shortest of 1 shard")
    assert [key for key in part_keys(folder) if "p=1" in key] == []


def test_a_refusal_that_was_wrong_is_found_out_by_the_same_command(
    folder: Folder, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    words = job(folder, "--max-minutes", "1")
    put_table(folder, "in/p=0/a.parquet", texts(4))
    assert command(*words).code == 0
    # As a machine leaves it that was paused within a call of the model.
    remember_pace(read_json(folder, "out/_tandem/job.json")["fingerprint"][:16], 600.0)
    put_table(folder, "in/p=1/a.parquet", texts(4))
    assert_refused(command(*words), 75, "take 32 min or more", "the next run begins a shard in any case")
    assert len(part_keys(folder)) == 1
    assert command(*words).code == 0
    assert "first=begun in any case, as the run before began none" in caplog.text
    put_table(folder, "in/p=2/a.parquet", texts(4))
    assert command(*words).code == 0, "what that shard took counts from now on"
    assert len(part_keys(folder)) == 3


def test_a_first_shard_that_nothing_foresees_is_begun_and_said(
    folder: Folder, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    put_table(folder, "in/a.parquet", texts(4))
    assert command(*job(folder, "--max-minutes", "0.4")).code == 0
    assert "unforeseen limit=--max-minutes 0.4 first=begun in any case" in caplog.text


def test_a_limit_is_no_part_of_the_fingerprint(place: Place, command: Command) -> None:
    put_table(place, "in/a.parquet", texts(30))
    assert command(*job(place)).code == 0
    assert command(*job(place, "--max-minutes", "90", "--price", "2")).code == 0
    assert "max_minutes" not in read_json(place, "out/_tandem/job.json")["settings"]


_SIGNALLED = """
import os, signal
from batch.stop import Stop
with Stop() as stop:
    stop.ask("--max-minutes 1")
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.asked == "SIGTERM", stop.asked
print("and this process lives")
"""


def test_a_signal_to_a_run_whose_time_is_over_is_the_first_one_still() -> None:
    ended = subprocess.run([sys.executable, "-c", _SIGNALLED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "and this process lives\n", ended.stderr
