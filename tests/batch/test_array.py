"""Machines that share nothing but the store: each runs its share, then helps, whoever dies, joins late or is double."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from batch.array import ArrayProgress, Place, Turns, find_place, owner_of
from batch.errors import UsageError
from batch.progress import LogProgress
from batch.shard import Shard, make_shard
from batch.spec import JobSpec, make_job
from tests.batch.array_job import NOTES, ROW_S, ROWS, asked, assert_once, command, machine, put_shards
from tests.batch.command import assert_refused, ended, started, tandem
from tests.batch.places import Bucket, part_keys


def spec(**settings: object) -> JobSpec:
    return make_job({"model": "m", "input": "in", "output": "out", "engine": "array", **settings})


def shards(count: int) -> list[tuple[int, Shard]]:
    return [(number, make_shard(f"n={number}/", (), 1)) for number in range(count)]


class Board:
    """The parts that are there, and how often somebody looked."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.looks = 0

    def look(self) -> set[str]:
        self.looks += 1
        return set(self.there)


def turns(board: Board, index: int, size: int, todo: list[tuple[int, Shard]], *, seed: int = 0) -> Turns:
    place = Place(index=index, size=size)
    return Turns(place, todo, total=len(todo), look=board.look, draw=random.Random(seed))


@pytest.mark.parametrize(("total", "size"), [(10, 3), (3, 10), (1, 1), (7, 7), (1000, 7)])
def test_every_shard_is_of_one_share_and_shares_are_as_even_as_can_be(total: int, size: int) -> None:
    counts = Counter(owner_of(position, total, size) for position in range(total))
    assert set(counts) <= set(range(size))
    assert max(counts.values()) - min(counts.get(index, 0) for index in range(size)) <= 1


def test_a_machine_runs_its_own_share_in_order_and_then_what_nobody_has_done() -> None:
    board, todo = Board(), shards(9)
    order = list(turns(board, 1, 3, todo))
    assert order[:3] == [3, 4, 5]
    assert sorted(order) == list(range(9))
    assert set(order[-2:]) == {0, 6}, "the first of other shares are probably in somebody's hands"


def test_a_machine_alone_among_many_does_it_all_and_one_beyond_the_array_helps() -> None:
    for index in (0, 2, 7):
        assert sorted(turns(Board(), index, 3, shards(10))) == list(range(10))


def test_what_others_have_done_meanwhile_is_not_taken() -> None:
    board, todo = Board(), shards(9)
    order = turns(board, 0, 3, todo)
    assert [next(order) for _ in range(3)] == [0, 1, 2]
    board.there = {shard.id for _, shard in todo[:8]}
    assert list(order) == [8]


def test_machines_help_in_orders_of_their_own() -> None:
    orders = {tuple(turns(Board(), 0, 3, shards(30), seed=seed)) for seed in range(5)}
    assert len(orders) == 5


def test_looking_costs_no_more_requests_than_the_shards_that_are_helped_with() -> None:
    board = Board()
    assert len(list(turns(board, 0, 2, shards(10_000)))) == 10_000
    requests = board.looks * 10  # a thousand parts a request
    assert requests <= 5_000 + 20


def test_two_of_one_number_part_after_the_first_shard_that_both_had_in_hand() -> None:
    board = Board()
    one, other = (turns(board, 0, 1, shards(200), seed=seed) for seed in (1, 2))
    taken = [(next(one), next(other))]
    ArrayProgress(LogProgress(), other).told("already committed", shard="x", rows=5)
    taken += [(next(one), next(other)) for _ in range(99)]
    assert taken[0] == (0, 0)
    assert sum(mine == yours for mine, yours in taken[1:]) < 5


def test_a_part_that_was_there_before_moves_nobody() -> None:
    order = turns(Board(), 0, 1, shards(10))
    ArrayProgress(LogProgress(), order).told("already committed", shard="x")
    assert list(order) == list(range(10))


@pytest.mark.parametrize(
    ("settings", "environ", "expected"),
    [
        ({"array_index": 2, "array_size": 5}, {"AWS_BATCH_JOB_ARRAY_INDEX": "4"}, (2, 5)),
        ({"array_size": 5}, {"AWS_BATCH_JOB_ARRAY_INDEX": "4"}, (4, 5)),
        ({"array_size": 5}, {"JOB_COMPLETION_INDEX": "0"}, (0, 5)),
        ({}, {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "3"}, (1, 3)),
        ({"array_size": 5}, {"AWS_BATCH_JOB_ID": "8d1c5a:3"}, (3, 5)),
        ({"array_size": 1}, {"AWS_BATCH_JOB_ID": "8d1c5a"}, (0, 1)),
    ],
)
def test_a_machine_knows_its_place_from_flags_and_from_what_started_it(
    settings: dict[str, int], environ: dict[str, str], expected: tuple[int, int]
) -> None:
    place = find_place(spec(**settings), environ)
    assert (place.index, place.size) == expected


@pytest.mark.parametrize(
    ("settings", "environ", "said"),
    [
        ({}, {}, "--array-size"),
        ({"array_size": 4}, {}, "--array-index, from 0 to 3"),
        ({"array_size": 4}, {"JOB_COMPLETION_INDEX": "first"}, "JOB_COMPLETION_INDEX: expected a number from 0"),
        ({"array_index": 1}, {"AWS_BATCH_JOB_ARRAY_SIZE": "0"}, "--array-size"),
    ],
)
def test_a_machine_that_does_not_know_its_place_says_what_is_missing(
    settings: dict[str, int], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        find_place(spec(**settings), environ)


def test_mistakes_are_one_line(s3_place: Bucket) -> None:
    put_shards(s3_place, 1)
    nobody = dict.fromkeys(("AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ID"))
    assert_refused(tandem(*command(s3_place, "--engine", "array"), **nobody), 2, "--array-size")
    assert_refused(tandem(*command(s3_place, "--array-index", "1")), 2, "goes with engine: array")
    assert_refused(tandem(*machine(s3_place, 0, 2, "--replace")), 2, "--replace and --engine array")
    assert part_keys(s3_place) == []


def test_three_machines_do_every_shard_once_and_one_of_them_may_die(s3_place: Bucket, tmp_path: Path) -> None:
    count = 30
    put_shards(s3_place, count)
    noted = {NOTES: str(tmp_path / "notes"), ROW_S: "0.01"}
    with ExitStack() as stack:
        machines = [stack.enter_context(started(*machine(s3_place, index, 3), **noted)) for index in range(3)]
        wait_for_parts(s3_place, 4)
        machines[2].send_signal(signal.SIGKILL)
        ends = [ended(process) for process in machines]
    assert [end.code for end in ends] == [0, 0, -signal.SIGKILL], [end.err[-2000:] for end in ends]
    digest = assert_once(s3_place, count)
    # What was in hand at the kill, and where the two that helped met; all in one order, they would do most of it twice.
    assert asked(tmp_path / "notes").total() <= (count + 10) * ROWS
    alone = tandem(*command(s3_place, output="alone/"), **noted)
    assert alone.code == 0, alone.err
    assert assert_once(s3_place, count, output="alone/") == digest


def test_one_that_joins_late_and_two_of_one_number_share_what_is_left(s3_place: Bucket, tmp_path: Path) -> None:
    count = 30
    put_shards(s3_place, count)
    noted = {NOTES: str(tmp_path / "notes"), ROW_S: "0.03"}
    with ExitStack() as stack:
        machines = [stack.enter_context(started(*machine(s3_place, 0, 1), **noted)) for _ in range(2)]
        wait_for_parts(s3_place, 2)
        machines.append(stack.enter_context(started(*machine(s3_place, 7, 1, "--workers", "2"), **noted)))
        ends = [ended(process) for process in machines]
    assert [end.code for end in ends] == [0, 0, 0], [end.err[-2000:] for end in ends]
    assert_once(s3_place, count)
    work = asked(tmp_path / "notes")
    assert len([process for process, rows in work.items() if rows >= ROWS]) >= 3
    assert work.total() <= (count + 15) * ROWS, "they went side by side"


@pytest.mark.parametrize(("first", "second"), [("local", "array"), ("array", "local")])
def test_a_job_begun_on_one_engine_is_finished_by_the_other(
    s3_place: Bucket, tmp_path: Path, first: str, second: str
) -> None:
    count = 8
    put_shards(s3_place, count)
    noted = {NOTES: str(tmp_path / "notes"), ROW_S: "0.01"}
    words = {"local": command(s3_place), "array": machine(s3_place, 1, 2)}
    with started(*words[first], **noted) as process:
        wait_for_parts(s3_place, 2)
        process.send_signal(signal.SIGKILL)
        ended(process)
    begun = len(part_keys(s3_place))
    assert 2 <= begun < count
    end = tandem(*words[second], **noted)
    assert end.code == 0, end.err
    assert f"this run: {(count - begun) * ROWS} rows" in end.out
    digest = assert_once(s3_place, count)
    assert tandem(*command(s3_place, output="alone/"), **noted).code == 0
    assert assert_once(s3_place, count, output="alone/") == digest


def wait_for_parts(place: Bucket, count: int, *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while len(part_keys(place)) < count:
        assert time.monotonic() < deadline, "no part in time"
        time.sleep(0.02)
