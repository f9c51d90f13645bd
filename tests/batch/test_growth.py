"""The same command over input that is no longer what it was: what was added is answered, what changed is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from batch.errors import AccessDenied, FingerprintMismatch, InputChanged, Interrupted, SchemaMismatch, UsageError
from batch.report import Manifest
from batch.run import run_job
from batch.status import read_status
from tests.batch.command import tandem
from tests.batch.places import (
    WORD_COUNT,
    Bucket,
    Folder,
    Place,
    part_keys,
    put_table,
    read_json,
    read_output,
    read_parts,
    texts,
)
from tests.fault_proxy import FaultProxy, Rule


def run(place: Place, *, replace: bool = False, **settings: Any) -> Manifest:
    places = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/"}
    return run_job(places | settings, replace=replace)


def ids(place: Place) -> list[int]:
    found: list[int] = read_output(place)["id"].to_pylist()
    return sorted(found)


def finish_two(place: Place) -> Place:
    """A finished job over two objects of two partitions, ten rows each."""
    put_table(place, "in/p=0/a.parquet", texts(10))
    put_table(place, "in/p=1/a.parquet", texts(10, first=100))
    assert run(place)["run"]["rows"] == 20
    return place


@pytest.fixture
def two(folder: Folder) -> Place:
    return finish_two(folder)


@pytest.fixture
def two_anywhere(place: Place) -> Place:
    return finish_two(place)


def test_what_was_added_is_planned_beside_and_old_parts_are_not_touched(two_anywhere: Place) -> None:
    old = two_anywhere.etags("out/p=")
    put_table(two_anywhere, "in/p=1/b.parquet", texts(5, first=200))
    manifest = run(two_anywhere)
    assert (manifest["plans"], manifest["run"]["rows"], manifest["rows"]) == (2, 5, 25)
    assert ids(two_anywhere) == [*range(10), *range(100, 110), *range(200, 205)]
    assert {key: etag for key, etag in two_anywhere.etags("out/p=").items() if key in old} == old
    assert read_json(two_anywhere, "out/_tandem/plan-1.json")["objects"].keys() == {"p=1/b.parquet"}
    assert read_json(two_anywhere, "out/_SUCCESS") == {"plans": 2}
    assert read_json(two_anywhere, "out/_tandem/manifest.json") == manifest
    assert run(two_anywhere)["run"]["rows"] == 0


def test_success_is_away_while_what_was_added_is_computed(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    run(s3_place)
    put_table(s3_place, "in/b.parquet", texts(5, first=10))
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-"))
    with held(rule, s3_place, proxy) as growing:
        assert not {"out/_SUCCESS", "out/_tandem/manifest.json"} & s3_place.etags().keys()
        status = read_status(s3_place.url + "out/")
        assert (status["finished"], status["shards_done"], status["shards"]) == (False, 1, 2)
        rule.release()
        assert growing.result(timeout=30)["rows"] == 15
    assert read_json(s3_place, "out/_SUCCESS") == {"plans": 2}


def test_status_of_a_grown_output_changes_nothing(two: Place) -> None:
    before = two.etags()
    put_table(two, "in/p=2/a.parquet", texts(5, first=200))
    assert read_status(two.url + "out/")["finished"]
    assert {key: etag for key, etag in two.etags().items() if key.startswith("out/")} == {
        key: etag for key, etag in before.items() if key.startswith("out/")
    }


def test_a_changed_object_is_refused_by_its_key_and_replaced_on_demand(two_anywhere: Place) -> None:
    old = two_anywhere.etags("out/p=")
    put_table(two_anywhere, "in/p=1/a.parquet", texts(7, first=300))
    with pytest.raises(InputChanged, match=r"in/p=1/a\.parquet changed after it was planned.*--replace"):
        run(two_anywhere)
    assert two_anywhere.etags("out/p=") == old
    manifest = run(two_anywhere, replace=True)
    assert (manifest["run"]["rows"], manifest["rows"], manifest["plans"]) == (7, 17, 1)
    assert ids(two_anywhere) == [*range(10), *range(300, 307)]
    now = two_anywhere.etags("out/p=")
    assert len(now) == 2
    assert [now[key] for key in now if "p=0" in key] == [old[key] for key in old if "p=0" in key]
    assert run(two_anywhere)["run"]["rows"] == 0


def test_a_deleted_object_is_refused_by_its_key_and_replaced_on_demand(two: Place) -> None:
    two.delete("in/p=1/a.parquet")
    with pytest.raises(InputChanged, match=r"in/p=1/a\.parquet.*found nothing: it was deleted"):
        run(two)
    manifest = run(two, replace=True)
    assert (manifest["run"]["rows"], manifest["rows"]) == (0, 10)
    assert ids(two) == [*range(10)]
    assert len(part_keys(two)) == 1


def test_input_that_is_gone_altogether_has_changed(two: Place) -> None:
    for key in ("in/p=0/a.parquet", "in/p=1/a.parquet"):
        two.delete(key)
    with pytest.raises(InputChanged, match=r"p=0/a\.parquet"):
        run(two)


def test_the_command_ends_with_3_where_input_changed(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    run(folder)
    put_table(folder, "in/a.parquet", texts(11))
    words = ("run", "--model", WORD_COUNT, "--input", folder.url + "in/", "--output", folder.url + "out/")
    end = tandem(*words)
    assert end.code == 3
    assert end.complaint.startswith(f"{folder.url}in/a.parquet changed after it was planned")
    assert tandem(*words, "--replace").code == 0
    assert ids(folder) == [*range(11)]


def test_an_object_that_changes_while_it_is_read_is_an_error_not_a_mixture(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_table(s3_place, "in/p=0/a.parquet", texts(10))
    put_table(s3_place, "in/p=1/a.parquet", texts(10, first=100))
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-"))
    with held(rule, s3_place, proxy) as running:
        put_table(s3_place, "in/p=1/a.parquet", texts(12, first=100))
        rule.release()
        with pytest.raises(InputChanged, match=r"p=1/a\.parquet"):
            running.result(timeout=30)
    assert len(part_keys(s3_place)) == 1


def test_another_model_on_a_used_output_is_refused_and_named(two: Place, vowels: Path) -> None:
    before = two.etags("out/")
    with pytest.raises(FingerprintMismatch, match=r"holds the output of another job.*model: .* there, .* now"):
        run(two, model=str(vowels))
    with pytest.raises(FingerprintMismatch, match="top_k: null there, 1 now"):
        run(two, top_k=1)
    with pytest.raises(FingerprintMismatch, match=r"where: null there, \"id > 3\" now"):
        run(two, where="id > 3")
    assert two.etags("out/") == before


def test_settings_that_change_no_answer_are_the_same_job(two: Place) -> None:
    assert run(two, window_rows=3, workers=1, threads=2, max_error_rate=0.5, device="cpu")["run"]["rows"] == 0


def test_another_job_takes_an_output_over_with_replace_and_nothing_of_the_old_stays(two: Place) -> None:
    two.put("out/notes.txt", b"mine")
    old = set(part_keys(two))
    manifest = run(two, replace=True, where="id >= 105")
    assert manifest["rows"] == manifest["run"]["rows"] == 5
    assert not old & set(part_keys(two))
    assert ids(two) == [*range(105, 110)]
    assert two.get("out/notes.txt") == b"mine"
    assert run(two, where="id >= 105")["run"]["rows"] == 0


def test_replace_forgets_every_plan_of_a_grown_job(two: Place) -> None:
    put_table(two, "in/p=2/a.parquet", texts(5, first=200))
    run(two)
    put_table(two, "in/p=3/a.parquet", texts(5, first=300))
    run(two)
    put_table(two, "in/p=0/a.parquet", texts(9))
    manifest = run(two, replace=True)
    assert (manifest["plans"], manifest["rows"], manifest["run"]["rows"]) == (1, 29, 9)
    assert not [key for key in two.etags("out/_tandem/plan-") if key != "out/_tandem/plan-0.json"]
    assert ids(two) == [*range(9), *range(100, 110), *range(200, 205), *range(300, 305)]


@pytest.mark.parametrize("deletion", [1, 4, 5, 6])
def test_a_run_that_ends_while_it_replaces_is_completed_by_the_same_again(
    s3_place: Bucket, proxy: FaultProxy, deletion: int
) -> None:
    """_SUCCESS, manifest, ran.json, a part, both plans and job.json are deleted, in this order."""
    put_table(s3_place, "in/p=0/a.parquet", texts(10))
    run(s3_place)
    put_table(s3_place, "in/p=1/a.parquet", texts(5, first=100))
    run(s3_place)
    put_table(s3_place, "in/p=1/a.parquet", texts(6, first=100))
    proxy.add(Rule(fault="error", method="DELETE", skip=deletion, times=None, status=403, code="AccessDenied"))
    with pytest.raises(AccessDenied, match="not allowed to delete"):
        run(s3_place, replace=True, endpoint_url=proxy.url)
    assert "out/_SUCCESS" not in s3_place.etags()
    manifest = run(s3_place, replace=deletion <= 4)
    assert ids(s3_place) == [*range(10), *range(100, 106)]
    assert read_json(s3_place, "out/_SUCCESS") == {"plans": manifest["plans"]}


def test_replacing_changed_input_never_takes_the_record_of_the_job_away(s3_place: Bucket, proxy: FaultProxy) -> None:
    """Killed without it, the next run could settle for another variant beside the parts that were kept."""
    put_table(s3_place, "in/p=0/a.parquet", texts(10))
    run(s3_place)
    put_table(s3_place, "in/p=0/a.parquet", texts(9))
    assert run(s3_place, replace=True, endpoint_url=proxy.url)["rows"] == 9
    assert proxy.requests("DELETE", "plan-0")
    assert not proxy.requests("DELETE", "job.json")
    assert run(s3_place, replace=True, endpoint_url=proxy.url, top_k=1)["rows"] == 9
    assert proxy.requests("DELETE", "job.json"), "another job's goes"


def test_a_limit_takes_from_what_was_added_only_what_it_lacks(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    assert run(folder, limit=25)["rows"] == 10
    put_table(folder, "in/b.parquet", texts(10, first=100))
    assert run(folder, limit=25)["rows"] == 20
    put_table(folder, "in/c.parquet", texts(10, first=200))
    manifest = run(folder, limit=25)
    assert (manifest["rows"], manifest["run"]["rows"]) == (25, 5)
    put_table(folder, "in/d.parquet", texts(10, first=300))
    again = run(folder, limit=25)
    assert (again["plans"], again["run"]["rows"]) == (3, 0)
    assert ids(folder) == [*range(10), *range(100, 110), *range(200, 205)]


def test_objects_behind_the_limit_may_change(folder: Folder) -> None:
    for n, key in enumerate(["in/a.parquet", "in/b.parquet"]):
        put_table(folder, key, texts(10, first=100 * n))
    run(folder, limit=10)
    put_table(folder, "in/b.parquet", texts(20))
    assert run(folder, limit=10)["run"]["rows"] == 0


def test_parts_of_what_was_added_have_the_schema_of_those_before(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(3, price=[0.5, 1.5, 2.5], gone=["x"] * 3))
    run(folder)
    put_table(folder, "in/b.parquet", texts(3, price=[1, 2, 3], new=["y"] * 3))
    run(folder)
    one, other = read_parts(folder).values()
    assert one.schema.equals(other.schema)
    assert sorted(part["gone"].null_count for part in (one, other)) == [0, 3]
    put_table(folder, "in/c.parquet", texts(3, price=["dear"] * 3))
    with pytest.raises(SchemaMismatch, match=r"price as string instead of double as when the job was planned"):
        run(folder)


def test_partitions_of_another_kind_may_be_added_but_not_another_layout(folder: Folder) -> None:
    put_table(folder, "in/year=2024/a.parquet", texts(3))
    run(folder)
    put_table(folder, "in/year=unknown/a.parquet", texts(3))
    assert run(folder)["rows"] == 6
    put_table(folder, "in/a.parquet", texts(3))
    with pytest.raises(UsageError, match=r"partition columns \[\].*those of \['year'\]"):
        run(folder)


@contextmanager
def held(rule: Rule, place: Place, proxy: FaultProxy, **settings: Any) -> Iterator[Future[Manifest]]:
    """A run in a thread, behind the proxy, that has come to where the rule holds it."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, place, endpoint_url=proxy.url, **settings)
        try:
            rule.wait_until_held()
            yield running
        finally:
            rule.release()


def test_of_runs_that_list_at_different_moments_the_first_plan_counts(s3_place: Bucket, proxy: FaultProxy) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/plan-0"))
    with held(rule, s3_place, proxy) as late:
        put_table(s3_place, "in/b.parquet", texts(5, first=100))
        assert run(s3_place)["plans"] == 1
        rule.release()
        manifest = late.result(timeout=30)
    assert (manifest["plans"], manifest["rows"], manifest["run"]["rows"]) == (1, 15, 0)
    assert len(part_keys(s3_place)) == 1


@pytest.mark.parametrize("fault", ["hold", "hold_answer"])
@pytest.mark.parametrize("put", ["/part-", "/manifest.json", "/_SUCCESS"])
def test_input_that_is_added_while_another_run_finishes_is_not_forgotten(
    s3_place: Bucket, proxy: FaultProxy, put: str, fault: Any
) -> None:
    """One run is held at a put, another adds a plan and finishes; what the first then does leaves the truth there."""
    put_table(s3_place, "in/a.parquet", texts(10))
    rule = proxy.add(Rule(fault=fault, method="PUT", path=put))
    with held(rule, s3_place, proxy) as early:
        put_table(s3_place, "in/b.parquet", texts(5, first=100))
        assert run(s3_place)["plans"] == 2
        rule.release()
        with suppress(Interrupted):  # told that another run added input, or found all of it done
            assert early.result(timeout=30)["plans"] == 2
    assert read_json(s3_place, "out/_SUCCESS") == {"plans": 2}
    assert read_json(s3_place, "out/_tandem/manifest.json")["plans"] == 2
    assert ids(s3_place) == [*range(10), *range(100, 105)]


@pytest.mark.parametrize("put", ["/manifest.json", "/_SUCCESS"])
def test_what_a_run_says_too_late_of_the_smaller_input_gives_way(s3_place: Bucket, proxy: FaultProxy, put: str) -> None:
    """The other has added its plan, but is held before its parts, when the first writes manifest or _SUCCESS."""
    put_table(s3_place, "in/a.parquet", texts(10))
    first, second = (proxy.add(Rule(fault="hold", method="PUT", path=path)) for path in (put, "/part-"))
    with ThreadPoolExecutor(1) as pool:
        second.skip = 1  # the first run's own part
        early = pool.submit(run, s3_place, endpoint_url=proxy.url)
        first.wait_until_held()
        put_table(s3_place, "in/b.parquet", texts(5, first=100))
        with held(second, s3_place, proxy) as late:
            first.release()
            with pytest.raises(Interrupted, match="another run added input"):
                early.result(timeout=30)
            assert "out/_SUCCESS" not in s3_place.etags()
            second.release()
            assert late.result(timeout=30)["plans"] == 2
    assert read_json(s3_place, "out/_SUCCESS") == {"plans": 2}
    assert read_json(s3_place, "out/_tandem/manifest.json")["plans"] == 2
