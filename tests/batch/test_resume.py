"""Whatever dies, the same command again completes the job: no row missing, none double, none computed for nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.errors import StoreUnavailable
from batch.report import Manifest
from batch.run import run_job
from tests.batch.command import ended, started, tandem
from tests.batch.places import (
    WORD_COUNT,
    Bucket,
    Folder,
    Place,
    part_keys,
    put_table,
    read_json,
    read_output,
    texts,
)
from tests.fault_proxy import Fault, FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: What a job of two shards puts, in order, under a fresh prefix.
PUTS = [
    *("create the multipart probe", "a part of the multipart probe", "complete the multipart probe"),
    *("create it again", "a part of it again", "complete it again, which the store has to refuse"),
    *("the probe", "the probe again, which the store has to refuse"),
    *("job.json", "plan-0.json", "a part", "another part", "manifest.json", "_SUCCESS"),
]


def put_input(place: Place, shards: int = 2) -> None:
    for number in range(shards):
        put_table(place, f"in/p={number}/a.parquet", texts(10 + 5 * number, first=100 * number))


def settings(place: Place) -> dict[str, str]:
    return {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/"}


def command(place: Place, *more: str) -> tuple[str, ...]:
    return ("run", *(word for name, value in settings(place).items() for word in (f"--{name}", value)), *more)


def assert_complete(place: Place, manifest: Manifest, shards: int = 2) -> None:
    """One part a shard, every row once, and the manifest says so."""
    keys = part_keys(place)
    assert len(keys) == manifest["shards"] == shards
    assert sorted(part["key"] for part in manifest["parts"]) == [key.removeprefix("out/") for key in keys]
    found = read_output(place)
    rows = [(f"p={n}", row) for n in range(shards) for row in range(10 + 5 * n)]
    sources = [source.split("/")[-2] for source in found["_source"].to_pylist()]
    assert list(zip(sources, found["_row"].to_pylist(), strict=True)) == rows
    assert found["id"].to_pylist() == [100 * n + row for n in range(shards) for row in range(10 + 5 * n)]
    assert manifest["rows"] == len(rows)
    assert read_json(place, "out/_SUCCESS") == {"plans": 1}


@pytest.fixture(scope="module")
def uninterrupted(s3: str, s3_client: S3Client) -> Manifest:
    """The manifest of the same job, run without a kill. Its digest names keys, contents and counts, not the bucket."""
    s3_client.create_bucket(Bucket="uninterrupted")
    place = Bucket("uninterrupted", s3_client)
    put_input(place)
    with FaultProxy(s3) as proxy:
        manifest = run_job(settings(place) | {"endpoint_url": proxy.url})
        puts = [seen.path for seen in proxy.requests("PUT|POST")]
    assert len(puts) == len(PUTS), puts
    assert_complete(place, manifest)
    return manifest


#: (fault, number of the put): killed before its first put, before a part, and after each put was applied but not
#: answered. A kill before a later put leaves the store as the one after the put before it does.
KILLS: list[tuple[Fault, int]] = [("hold", 0), ("hold", 10), *(("hold_answer", put) for put in range(len(PUTS)))]


def kill_at(s3: str, client: S3Client, fault: Fault, put: int) -> Bucket:
    """A bucket in which the real command was killed while it waited for the answer to one of its puts."""
    place = Bucket(f"killed-{fault}-{put}".replace("_", "-"), client)
    client.create_bucket(Bucket=place.bucket)
    put_input(place)
    with FaultProxy(s3) as proxy:
        rule = proxy.add(Rule(fault=fault, method="PUT|POST", skip=put))
        with started(*command(place), AWS_ENDPOINT_URL=proxy.url) as process:
            rule.wait_until_held()
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=20) == -signal.SIGKILL
            rule.release(forward=False)
    return place


@pytest.fixture(scope="module")
def killed(s3: str, s3_client: S3Client) -> Iterator[Mapping[tuple[Fault, int], Future[Bucket]]]:
    """Every kill, three at a time: what they cost is the start of a process."""
    with ThreadPoolExecutor(3) as pool:
        yield {kill: pool.submit(kill_at, s3, s3_client, *kill) for kill in KILLS}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    "kill", KILLS, ids=[f"{'before' if fault == 'hold' else 'after'} {PUTS[n]}" for fault, n in KILLS]
)
def test_a_job_killed_at_a_put_is_completed_by_the_same_job_again(
    killed: Mapping[tuple[Fault, int], Future[Bucket]], uninterrupted: Manifest, kill: tuple[Fault, int]
) -> None:
    place = killed[kill].result(timeout=90)
    before = set(part_keys(place))
    assert len(before) == max(0, min(2, kill[1] - PUTS.index("a part") + (kill[0] == "hold_answer")))
    manifest = run_job(settings(place))
    assert_complete(place, manifest)
    assert manifest["digest"] == uninterrupted["digest"]
    if kill[1] <= PUTS.index("another part"):  # else the killed run's own manifest counts
        computed = [part["rows"] for part in manifest["parts"] if f"out/{part['key']}" not in before]
        assert manifest["run"]["rows"] == sum(computed)


def test_a_finished_job_again_reads_no_input_and_writes_nothing(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_input(s3_place)
    first = run_job(settings(s3_place))
    before = s3_place.etags()
    again = run_job(settings(s3_place) | {"endpoint_url": proxy.url})
    assert again["digest"] == first["digest"]
    assert again["run"]["rows"] == 0
    assert not proxy.requests("PUT|POST|DELETE")
    assert not proxy.requests("GET", "/in/")
    assert s3_place.etags() == before


def test_a_finished_job_again_touches_no_file(folder: Folder) -> None:
    put_input(folder)
    run_job(settings(folder))
    before = folder.etags()
    assert run_job(settings(folder))["run"]["rows"] == 0
    assert folder.etags() == before


def test_only_the_shards_without_a_part_are_computed(place: Place) -> None:
    put_input(place, shards=3)
    run_job(settings(place))
    lost = part_keys(place)[1]
    kept = place.etags("out/p=")
    for key in (lost, "out/_SUCCESS", "out/_tandem/manifest.json"):
        place.delete(key)
    manifest = run_job(settings(place))
    assert manifest["run"]["rows"] == 15
    assert_complete(place, manifest, shards=3)
    now = place.etags("out/p=")
    assert {key for key in now if now[key] != kept[key]} <= {lost}


def test_a_shard_that_the_store_fails_is_tried_once_more(
    s3_place: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    put_input(s3_place)
    proxy.add(Rule(fault="error", method="GET", path="/in/p=1/a.parquet", skip=1))  # its footer was read to plan
    proxy.add(Rule(fault="error_after", method="PUT", path="/p=0/part-"))
    with caplog.at_level("INFO", logger="tandem"):
        manifest = run_job(settings(s3_place) | {"endpoint_url": proxy.url})
    assert_complete(s3_place, manifest)
    assert [record.getMessage().split(" ")[0] for record in caplog.records].count("failed") == 1
    proxy.add(Rule(fault="error", method="GET", path="/in/", times=None))
    with pytest.raises(StoreUnavailable):
        run_job(settings(s3_place) | {"endpoint_url": proxy.url, "output": f"{s3_place.url}other/"})


def test_sigterm_commits_the_shard_in_hand_and_begins_no_other(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_input(s3_place, shards=3)
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-"))
    with started(*command(s3_place), AWS_ENDPOINT_URL=proxy.url) as process:
        rule.wait_until_held()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        rule.release()
        end = ended(process)
    assert end.code == 75
    assert "SIGTERM" in end.complaint
    assert "run the same command again" in end.complaint
    assert len(part_keys(s3_place)) == 1
    assert "out/_SUCCESS" not in s3_place.etags()
    again = tandem(*command(s3_place))
    assert again.code == 0, again.err
    assert "this run: 35 rows" in again.out
    assert_complete(s3_place, read_json(s3_place, "out/_tandem/manifest.json"), shards=3)


@pytest.mark.parametrize("runs", [2, 3])
def test_runs_at_once_agree_on_one_plan_and_the_first_attempt_at_a_shard_counts(
    s3_place: Bucket, proxy: FaultProxy, uninterrupted: Manifest, runs: int
) -> None:
    put_input(s3_place)
    plans = proxy.add(Rule(fault="hold", method="PUT", path="/plan-0.json", times=runs))
    parts = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-", times=runs))
    with ExitStack() as stack:
        processes = [stack.enter_context(started(*command(s3_place), AWS_ENDPOINT_URL=proxy.url)) for _ in range(runs)]
        for rule in (plans, parts):
            for _ in processes:
                rule.wait_until_held()
            rule.release()
        ends = [ended(process) for process in processes]
    assert [end.code for end in ends] == [0] * runs, [end.err for end in ends]
    for path in ("/plan-0.json", "/p=0/part-"):
        assert sorted(seen.status for seen in proxy.requests("PUT", path)) == [200] + [412] * (runs - 1)
    assert sum("already committed" in end.err for end in ends) >= runs - 1
    manifest = read_json(s3_place, "out/_tandem/manifest.json")
    assert_complete(s3_place, manifest)
    assert manifest["digest"] == uninterrupted["digest"]


def test_worker_processes_share_the_shards(s3_place: Bucket) -> None:
    put_input(s3_place, shards=5)
    end = tandem(*command(s3_place, "--workers", "2", "--where", "id >= 0"))
    assert end.code == 0, end.err
    assert end.err.count(" committed shard=") == 5
    assert_complete(s3_place, read_json(s3_place, "out/_tandem/manifest.json"), shards=5)


def children(process_id: int) -> list[int]:
    """The worker processes of a command's job, not its guardian and what multiprocessing starts for itself."""
    (job,) = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii").split()
    found = Path(f"/proc/{job}/task/{job}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_a_killed_worker_holds_nobody_up_and_its_shard_is_run_again(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_input(s3_place, shards=4)
    rules = [proxy.add(Rule(fault="hold", method="PUT", path="/part-")) for _ in range(2)]
    with started(*command(s3_place, "--workers", "2"), AWS_ENDPOINT_URL=proxy.url) as process:
        for rule in rules:
            rule.wait_until_held()
        killed, _ = children(process.pid)
        os.kill(killed, signal.SIGKILL)
        for rule in rules:
            rule.release(forward=False)  # the other's client tries again
        end = ended(process)
    assert end.code == 0, end.err
    assert end.err.count("worker lost") == 1
    assert "(ended with signal SIGKILL)" in end.err
    assert_complete(s3_place, read_json(s3_place, "out/_tandem/manifest.json"), shards=4)


def test_sigterm_reaches_the_workers_through_their_parent(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_input(s3_place, shards=5)
    rules = [proxy.add(Rule(fault="hold", method="PUT", path="/part-")) for _ in range(2)]
    with started(*command(s3_place, "--workers", "2"), AWS_ENDPOINT_URL=proxy.url) as process:
        for rule in rules:
            rule.wait_until_held()
        for pid in (process.pid, *children(process.pid)):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        for rule in rules:
            rule.release()
        end = ended(process)
    assert end.code == 75
    assert "SIGTERM" in end.complaint
    assert len(part_keys(s3_place)) == 2


def test_workers_end_when_their_parent_is_killed(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_input(s3_place, shards=5)
    rules = [proxy.add(Rule(fault="hold", method="PUT", path="/part-")) for _ in range(2)]
    with started(*command(s3_place, "--workers", "2"), AWS_ENDPOINT_URL=proxy.url) as process:
        for rule in rules:
            rule.wait_until_held()
        workers = children(process.pid)
        process.kill()
        process.wait()
        for rule in rules:
            rule.release()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
            assert time.monotonic() < deadline, "a worker goes on without its parent"
            time.sleep(0.05)
    assert len(part_keys(s3_place)) == 2
    assert_complete(s3_place, run_job(settings(s3_place)), shards=5)
