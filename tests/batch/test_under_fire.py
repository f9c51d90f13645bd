"""A store that fails a job for good, lets it in no longer, or changes under it: a code, one line, and nothing lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from batch.errors import InputChanged
from batch.report import Manifest
from batch.run import run_job
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import WORD_COUNT, Bucket, part_keys, put_table, read_json, read_output, texts
from tests.fault_proxy import FaultProxy, FromThenOn, RandomFaults, Rule

SHARDS = 4


@pytest.fixture
def source(s3_place: Bucket) -> Bucket:
    """Four objects of ten rows, each a shard."""
    for number in range(SHARDS):
        put_table(s3_place, f"in/p={number}/a.parquet", texts(10, first=100 * number))
    return s3_place


def run(place: Bucket, **settings: Any) -> Manifest:
    places = {"model": WORD_COUNT, "input": f"{place.url}in/", "output": f"{place.url}out/"}
    return run_job(places | settings)


def assert_finishes(place: Bucket) -> Manifest:
    """The same job again, without trouble: every row, and not one computed that was committed before."""
    committed = len(part_keys(place))
    manifest = run(place)
    assert manifest["run"]["rows"] == 10 * (SHARDS - committed)
    assert read_output(place)["id"].to_pylist() == [100 * p + row for p in range(SHARDS) for row in range(10)]
    return manifest


@pytest.mark.parametrize("after", ["out/_tandem/job.json", "in/p=2/a.parquet", "/part-", "/manifest.json"])
@pytest.mark.parametrize("fault", ["error", "reset", "error_after"])
def test_a_store_that_fails_every_request_ends_the_job_with_75(
    source: Bucket, proxy: FaultProxy, command: Command, monkeypatch: pytest.MonkeyPatch, fault: Any, after: str
) -> None:
    """From the first time that this key is asked for. How long it is asked again: test_patience.py."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    proxy.add(FromThenOn(fault=fault, path=after))
    end = command(*job(source, "--endpoint-url", proxy.url))
    assert_refused(end, 75, "s3://", "Nothing is lost; run the same command again")
    assert_finishes(source)


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "Renew the credentials"),
        (403, "RequestTimeTooSkewed", "clock is wrong; set it and run the same command again"),
    ],
)
@pytest.mark.parametrize("after", ["out/_tandem/job.json", "/part-", "/manifest.json"])
def test_who_is_let_in_no_longer_is_told_why_and_goes_on_later(
    source: Bucket, proxy: FaultProxy, command: Command, status: int, code: str, advice: str, after: str
) -> None:
    proxy.add(FromThenOn(fault="error", path=after, status=status, code=code))
    end = command(*job(source, "--endpoint-url", proxy.url))
    assert_refused(end, 77, "not allowed to", code, advice)
    assert len(proxy.seen) < 200
    assert_finishes(source)


def test_a_job_of_which_one_request_in_ten_goes_wrong_finishes_with_the_same_manifest(
    source: Bucket, proxy: FaultProxy
) -> None:
    faults = RandomFaults(seed=7, rate=0.1)
    proxy.add(faults)
    found = [run(source, endpoint_url=proxy.url, output=f"{source.url}out-{number}/") for number in range(4)]
    assert faults.made >= 4  # a tenth of some 160
    again = run(source, output=f"{source.url}again/")
    assert {(manifest["digest"], manifest["rows"]) for manifest in found} == {(again["digest"], 40)}


def test_an_object_that_is_deleted_while_the_job_runs_has_changed(source: Bucket, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, source, endpoint_url=proxy.url)
        rule.wait_until_held()
        source.delete("in/p=3/a.parquet")
        rule.release()
        with pytest.raises(InputChanged, match=r"in/p=3/a\.parquet changed.*found nothing: it was deleted") as caught:
            running.result(timeout=60)
    assert caught.value.exit_code == 3
    assert len(part_keys(source)) == SHARDS - 1


def test_what_another_run_finished_since_the_listing_is_not_withdrawn(source: Bucket, proxy: FaultProxy) -> None:
    """One run has listed the parts, and sleeps; another does it all and ends with 0: what it said stays said."""
    rule = proxy.add(Rule(fault="hold_answer", method="GET", path=r"prefix=out/(&|$)"))
    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(run, source, endpoint_url=proxy.url)
        rule.wait_until_held()
        assert run(source)["run"]["rows"] == 10 * SHARDS
        said = source.etags("out/")
        rule.release()
        assert sleeping.result(timeout=60)["run"]["rows"] == 0
    assert not proxy.requests("DELETE", "_SUCCESS|manifest.json")
    assert source.etags("out/") == said


def test_a_finished_job_is_looked_up_with_as_many_requests_whatever_the_number_of_its_parts(
    s3_place: Bucket, proxy: FaultProxy, page_keys: int
) -> None:
    for number in range(19):
        put_table(s3_place, f"in/{number:02}.parquet", texts(3, first=3 * number))
    asked = []
    for shard_mb in (128, 0.0001):
        settings = {"shard_mb": shard_mb, "output": f"{s3_place.url}{shard_mb}/"}
        run(s3_place, **settings)
        before = len(proxy.seen)
        assert run(s3_place, endpoint_url=proxy.url, **settings)["run"]["rows"] == 0
        asked.append(len(proxy.seen) - before)
    assert read_json(s3_place, "0.0001/_tandem/manifest.json")["shards"] == 19
    assert asked[1] - asked[0] == (1 if page_keys == 20 else 0), "another page of the listing"
    assert not proxy.requests("GET", "/in/")
