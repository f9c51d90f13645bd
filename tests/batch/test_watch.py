"""`tandem status`: how far, how fast and how long, from the store alone, once or again and again."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from batch.commit import MANIFEST, SUCCESS
from batch.run import run_job
from batch.status import read_status
from batch.watch.pace import Commit, Pace, measure_pace
from batch.watch.show import status_line, status_lines
from batch.watch.watched import Watched
from tests.batch.command import Command, ended, started
from tests.batch.places import WORD_COUNT, Bucket, Folder, Place, part_keys, put_table, texts
from tests.fault_proxy import FaultProxy, Rule

BEGUN = 1_000_000.0


def pace(*commits: tuple[float, int], rows_left: int = 1000, now: float, begun: float | None = BEGUN) -> Pace:
    """Of commits so many seconds after the job was planned."""
    found = [Commit(at=BEGUN + after, rows=rows) for after, rows in commits]
    return measure_pace(found, begun=begun, rows_left=rows_left, now=BEGUN + now)


def test_before_the_first_commit_nothing_is_known() -> None:
    assert pace(now=500) == Pace(rows_per_s=None, seconds_left=None, since_s=None, is_stalled=False)


def test_the_first_commit_is_timed_from_the_plan() -> None:
    found = pace((10, 100), now=12)
    assert (found.rows_per_s, found.seconds_left, found.since_s) == (10, 100, 2)


def test_a_pause_between_two_runs_does_not_count() -> None:
    steady = [(10.0 * n, 100) for n in range(1, 11)]
    resumed = [(36_000 + 10.0 * n, 100) for n in range(4)]
    assert pace(*steady, *resumed, now=36_031).rows_per_s == pytest.approx(10)


def test_the_rate_is_that_of_the_last_run() -> None:
    """It has ten times the workers of the first."""
    first = [(10.0 * n, 100) for n in range(1, 11)]
    second = [(7200.0 + n, 100) for n in range(40)]
    assert pace(*first, *second, now=7240).rows_per_s == pytest.approx(100)


def test_a_run_that_has_only_begun_is_taken_to_be_as_fast_as_the_one_before() -> None:
    first = [(10.0 * n, 100) for n in range(1, 11)]
    assert pace(*first, (7200.0, 100), now=7201).rows_per_s == pytest.approx(10)


@pytest.mark.parametrize("rounds", [1, 2, 3, 8])
def test_workers_that_commit_together_are_not_taken_for_pauses(rounds: int) -> None:
    together = [(600.0 * turn + 0.1 * worker, 100) for turn in range(1, rounds + 1) for worker in range(8)]
    found = pace(*together, now=600 * rounds + 300)
    assert found.rows_per_s == pytest.approx(8 * 100 / 600, rel=0.02)
    assert not found.is_stalled


def test_a_job_that_does_not_go_on_is_said_to_and_has_no_time_left() -> None:
    steady = [(10.0 * n, 100) for n in range(1, 11)]
    assert not pace(*steady, now=150).is_stalled
    late = pace(*steady, now=200)
    assert (late.is_stalled, late.seconds_left, late.since_s) == (True, None, 100)
    done = pace(*steady, rows_left=0, now=5000)
    assert (done.is_stalled, done.seconds_left) == (False, None)


def test_commits_of_one_and_the_same_second_say_nothing_of_the_rate() -> None:
    assert pace((5, 10), (5, 10), (5, 10), now=6, begun=None).rows_per_s is None


def put_shards(place: Place, shards: int, *, nulls: int = 0) -> None:
    for number in range(shards):
        words = [None] * nulls + texts(10 - nulls)["text"].to_pylist()
        put_table(place, f"in/p={number}/a.parquet", pa.table({"text": words}))


def run(place: Place, **settings: str) -> None:
    run_job({"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/", **settings})


def lose(place: Place, *shards: int) -> None:
    """As if the job had been killed before these."""
    for key in [key for key in part_keys(place) if any(f"/p={shard}/" in key for shard in shards)]:
        place.delete(key)
    place.delete(f"out/{SUCCESS}")
    place.delete(f"out/{MANIFEST}")


def test_status_of_an_unfinished_job_counts_rows_and_errors_of_its_parts(place: Place) -> None:
    put_shards(place, 4, nulls=2)
    started = time.time()
    run(place)
    lose(place, 1)
    found = read_status(f"{place.url}out/")
    assert (found["shards"], found["shards_done"], found["rows"], found["rows_done"]) == (4, 3, 40, 30)
    assert (found["output_rows"], found["error_rows"], found["finished"]) == (30, 6, False)
    assert abs(datetime.fromisoformat(found["last_commit"]).timestamp() - started) < 60
    assert found["seconds_since_commit"] >= 0
    assert not found["stalled"]
    lines = "\n".join(status_lines(found))
    assert "3 of 4" in lines
    assert "6 error rows among 30" in lines
    assert "3 of 4 shards, 30 of 40 rows, 6 error rows" in status_line(found)


def test_rate_and_time_left_are_of_the_parts_times(folder: Folder) -> None:
    put_shards(folder, 5)
    run(folder)
    lose(folder, 3, 4)
    now = time.time()
    (folder.folder / "out/_tandem/plan-0.json").touch()
    times = {"out/_tandem/plan-0.json": 40.0}
    times |= {key: 30.0 - 10 * number for number, key in enumerate(part_keys(folder))}
    for key, ago in times.items():
        os.utime(folder.folder / key, (now - ago, now - ago))
    found = read_status(f"{folder.url}out/")
    assert found["rows_per_s"] == pytest.approx(1.0, abs=0.05)
    assert found["seconds_left"] == pytest.approx(20, abs=2)
    assert found["seconds_since_commit"] == pytest.approx(10, abs=5)
    for key in part_keys(folder):
        os.utime(folder.folder / key, (now - 4000, now - 4000))
    late = read_status(f"{folder.url}out/")
    assert late["stalled"]
    assert late["seconds_left"] is None
    assert f"no progress since {late['last_commit']}" in "\n".join(status_lines(late))
    assert f"no progress since {late['last_commit']}" in status_line(late)


def test_a_second_look_asks_only_for_what_is_new(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_shards(s3_place, 6)
    run(s3_place)
    lose(s3_place, 5)
    watched = Watched(f"{s3_place.url}out/", endpoint_url=proxy.url)
    first = watched.look()
    assert first["shards_done"] == 5
    assert len(proxy.requests("HEAD", "/part-")) == 5
    assert not proxy.requests("GET", "/part-")
    proxy.seen.clear()
    assert watched.look()["rows_done"] == 50
    assert not proxy.requests(".*", "/part-|/plan-0.json")
    run(s3_place)
    assert watched.look()["finished"]
    assert not proxy.requests(".*", "/part-")


def test_the_status_of_a_job_that_runs_elsewhere(s3_place: Bucket, proxy: FaultProxy, command: Command) -> None:
    put_shards(s3_place, 3)
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-", skip=2))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, s3_place, endpoint_url=proxy.url)
        rule.wait_until_held()
        found = json.loads(command("status", f"{s3_place.url}out/", "--json").out)
        rule.release()
        running.result(timeout=60)
    assert (found["shards_done"], found["shards"], found["finished"]) == (2, 3, False)
    assert "finished  30 rows, 0 error rows" in command("status", f"{s3_place.url}out/").out


def test_watch_follows_a_job_to_its_end_in_plain_lines(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_shards(s3_place, 3)
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-", skip=1))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, s3_place, endpoint_url=proxy.url)
        rule.wait_until_held()
        with started("status", f"{s3_place.url}out/", "--watch", "--every", "0.1") as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            rule.release()
            running.result(timeout=60)
            end = ended(process)
    assert end.code == 0, end.err
    assert "1 of 3 shards, 10 of 30 rows, 0 error rows" in first
    lines = end.out.splitlines()
    assert "3 of 3 shards, 30 of 30 rows, 0 error rows, finished" in lines[-1]
    assert len({line[9:] for line in lines}) == len(lines)  # one for each change
    assert "\x1b" not in end.out


def test_ctrl_c_ends_a_watch_and_nothing_else(s3_place: Bucket) -> None:
    put_shards(s3_place, 2)
    run(s3_place)
    lose(s3_place, 1)
    with started("status", f"{s3_place.url}out/", "--watch", "--every", "0.1", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["shards_done"] == 1
        process.send_signal(signal.SIGINT)
        end = ended(process)
    assert end.code == 0
    assert not end.err.strip()


def test_a_watch_outlives_a_store_that_does_not_answer(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_shards(s3_place, 2)
    run(s3_place)
    lose(s3_place, 1)
    changes = {"AWS_ENDPOINT_URL": proxy.url, "AWS_MAX_ATTEMPTS": "1"}
    with started("status", f"{s3_place.url}out/", "--watch", "--every", "0.1", **changes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "1 of 2 shards" in process.stdout.readline()
        proxy.add(Rule(fault="error", method="GET", times=2))
        assert "SlowDown" in process.stderr.readline()
        run(s3_place)
        end = ended(process)
    assert end.code == 0
    assert "2 of 2 shards" in end.out.splitlines()[-1]


def test_parts_that_a_retry_replaced_say_nothing_of_the_rate(folder: Folder) -> None:
    from batch.retry.retry import retry_job

    put_shards(folder, 3, nulls=1)
    run(folder)
    retry_job(f"{folder.url}out/", model=WORD_COUNT)
    lose(folder, 2)
    found = read_status(f"{folder.url}out/")
    assert (found["shards_done"], found["error_rows"], found["rows_per_s"]) == (2, 2, None)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    assert found["last_commit"] <= now
