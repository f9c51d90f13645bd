"""`tandem retry`: error rows once more, in the parts that are there, and nothing else of them changes."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.commit import MANIFEST, SUCCESS
from batch.errors import ConditionIgnored, FingerprintMismatch, Interrupted, TooManyErrors, UsageError
from batch.report import Manifest
from batch.retry.retry import retry_job
from batch.run import run_job
from batch.status import read_status
from batch.stores.local_store import LocalStore
from tests.batch.command import Command, assert_refused, ended, started, tandem
from tests.batch.places import Bucket, Folder, Place, part_keys, put_table, read_json, read_output, read_parts
from tests.fault_proxy import FaultProxy, Rule

MODELS = "tests.batch.own_models"
OWN = ("--model", f"{MODELS}:MendableModel")
THIRTEEN = " ".join(["word"] * 13)
#: Of each object's 40 rows, in row groups of ten: two that the model raises at, and one null.
BAD, NULL = (7, 31), 20


def put_input(place: Place, *, good: int = 1) -> None:
    """Two objects with rows at fault, and some without, each in a partition of its own."""
    for number in range(2 + good):
        words = [f"row {row}" + " more" * (row % 4) for row in range(40)]
        if number < 2:
            words[BAD[0]] = words[BAD[1]] = THIRTEEN
            words[NULL] = None  # type: ignore[call-overload]
        truth = ["many" if row % 4 > 1 or row in BAD else "few" for row in range(40)]
        ids = range(100 * number, 100 * number + 40)
        table = pa.table({"id": list(ids), "text": words, "truth": truth})
        put_table(place, f"in/p={number}/a.parquet", table, row_group_size=10)


def run(place: Place, model: str = "MendableModel", *, output: str = "out/", **settings: Any) -> Manifest:
    places = {"input": f"{place.url}in/", "output": f"{place.url}{output}"}
    return run_job({"model": f"{MODELS}:{model}", **places, **settings})


def retry(
    place: Place, model: str | None = f"{MODELS}:MendableModel", *, output: str = "out/", **more: Any
) -> Manifest:
    return retry_job(f"{place.url}{output}", model=model, **more)


def errors_of(place: Place) -> Counter[tuple[str, int]]:
    """(class, attempts) -> rows."""
    return Counter((error["class"], error["attempts"]) for error in read_output(place)["error"].to_pylist() if error)


def without_footer(place: Place, output: str) -> dict[str, pa.Table]:
    tables = read_parts(place, output).items()
    return {key.removeprefix(output): table.replace_schema_metadata(None) for key, table in tables}


@pytest.fixture
def finished(place: Place) -> Place:
    """A finished job: two of its three parts hold two rows that raised and one that was null."""
    put_input(place)
    assert run(place)["errors"] == {"NullValue": 2, "ValueError": 4}
    return place


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MENDED", "yes")


@pytest.mark.parametrize("workers", [1, 2])
def test_after_what_was_wrong_is_mended_the_output_is_as_if_it_had_never_been(
    place: Place, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    put_input(place)
    before = run(place, label="truth")
    parts = place.etags("out/p=")
    monkeypatch.setenv("MENDED", "yes")
    manifest = retry(place, workers=workers)
    whole = run(place, output="whole/", label="truth")
    assert manifest["errors"] == whole["errors"] == {"NullValue": 2}
    assert manifest["quality"] == whole["quality"] != before["quality"]
    assert manifest["digest"] == whole["digest"] != before["digest"]
    assert manifest["retries"] == 2
    assert (manifest["run"], manifest["retried"]["rows"]) == (before["run"], 6)
    assert read_json(place, f"out/{MANIFEST}") == manifest
    assert read_json(place, f"out/{SUCCESS}") == {"plans": 1, "retries": 2}
    found, expected = without_footer(place, "out/"), without_footer(place, "whole/")
    assert found.keys() == expected.keys()
    for key, table in found.items():
        assert table.schema.equals(expected[key].schema, check_metadata=True)
        assert table.drop(["error"]).equals(expected[key].drop(["error"]))
    assert errors_of(place) == {("NullValue", 2): 2}
    now = place.etags("out/p=")
    assert [key for key in parts if now[key] == parts[key]] == [key for key in parts if "/p=2/" in key]


def test_rows_that_fail_again_stay_error_rows_and_their_attempts_are_counted_up(finished: Place) -> None:
    before, digest = without_footer(finished, "out/"), read_json(finished, f"out/{MANIFEST}")["digest"]
    for attempts in (2, 3):
        manifest = retry(finished)
        assert manifest["errors"] == {"NullValue": 2, "ValueError": 4}
        assert errors_of(finished) == {("NullValue", attempts): 2, ("ValueError", attempts): 4}
    assert manifest["digest"] == digest
    for key, table in without_footer(finished, "out/").items():
        assert table.drop(["error"]).equals(before[key].drop(["error"]))
        assert table["error"].is_null().equals(before[key]["error"].is_null())


def test_one_class_is_run_again_and_others_are_left(finished: Place, mended: None) -> None:
    assert retry(finished, classes=["NullValue"])["errors"] == {"NullValue": 2, "ValueError": 4}
    assert errors_of(finished) == {("NullValue", 2): 2, ("ValueError", 1): 4}
    assert retry(finished, classes=["ValueError"])["errors"] == {"NullValue": 2}
    before = finished.etags()
    assert retry(finished, classes=["ValueError"])["retried"]["rows"] == 0
    assert finished.etags() == before


def test_vectors_are_put_into_their_place(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put_input(folder)
    run(folder, "MendableVectors", keep=["id"])
    monkeypatch.setenv("MENDED", "yes")
    retry(folder, f"{MODELS}:MendableVectors")
    run(folder, "MendableVectors", keep=["id"], output="whole/")
    whole = without_footer(folder, "whole/")
    for key, table in without_footer(folder, "out/").items():
        assert table.drop(["error"]).equals(whole[key].drop(["error"]))


@pytest.mark.parametrize("label", ["truth", "p"])
def test_quality_counts_the_rows_that_are_answered_now(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    """Also where the label was not kept, or is the name of a folder."""
    put_input(folder)
    run(folder, label=label, keep=["id"])
    monkeypatch.setenv("MENDED", "yes")
    assert retry(folder)["quality"] == run(folder, label=label, keep=["id"], output="whole/")["quality"]


def test_of_the_input_only_row_groups_with_error_rows_are_read(
    s3_place: Bucket, proxy: FaultProxy, mended: None
) -> None:
    # 400 KB a row group that zstd cannot make smaller; the two bad ones are more than the largest gap apart.
    words = [None if row in (0, 49) else random.Random(row).randbytes(40_000).hex() for row in range(50)]
    put_table(s3_place, "in/b.parquet", pa.table({"text": ["good"]}))
    put_table(s3_place, "in/a.parquet", pa.table({"text": words}), row_group_size=5)
    assert run(s3_place)["shards"] == 1
    assert retry(s3_place, endpoint_url=proxy.url)["retried"]["rows"] == 2
    assert not proxy.requests("GET", "/in/b.parquet")
    ranges = [
        seen.headers["range"].removeprefix("bytes=").split("-") for seen in proxy.requests("GET", "/in/a.parquet")
    ]
    assert sum(int(last) - int(first) + 1 for first, last in ranges) < 1_000_000
    assert len(s3_place.get("in/a.parquet")) > 2_000_000


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rows_that_end_the_process_when_they_are_run_again_cost_themselves_only(folder: Folder, workers: str) -> None:
    put_input(folder)
    run(folder)
    before = without_footer(folder, "out/")
    end = tandem("retry", f"{folder.url}out/", *OWN, "--workers", workers, within_s=240, WORSE="yes")
    assert end.code == 0, end.err
    found = errors_of(folder)
    assert sum(found.values()) == 6
    assert found["NullValue", 2] == 2
    assert all(attempts > 1 for _, attempts in found)
    assert "ValueError" not in {kind for kind, _ in found}
    assert read_status(f"{folder.url}out/")["finished"]
    for key, table in without_footer(folder, "out/").items():
        assert table.drop(["error"]).equals(before[key].drop(["error"]))


@pytest.fixture
def finished_s3(s3_place: Bucket) -> Bucket:
    put_input(s3_place, good=0)
    run(s3_place)
    return s3_place


def test_of_two_retries_at_once_the_first_put_counts_and_the_loser_looks_again(
    finished_s3: Bucket, proxy: FaultProxy
) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(retry, finished_s3, endpoint_url=proxy.url)
        rule.wait_until_held()
        assert retry(finished_s3)["errors"] == {"NullValue": 2, "ValueError": 4}
        rule.release()
        late = slow.result(timeout=60)
    assert [seen.status for seen in proxy.requests("PUT", "/p=0/part-")] == [412]
    # p=1 was tried by the slow one after the quick one: that is a third attempt.
    assert errors_of(finished_s3) == {
        ("NullValue", 2): 1, ("ValueError", 2): 2, ("NullValue", 3): 1, ("ValueError", 3): 2,
    }  # fmt: skip
    assert late["retries"] == 3
    assert read_json(finished_s3, f"out/{MANIFEST}") == late
    assert read_status(f"{finished_s3.url}out/")["finished"]


def test_what_another_retry_settled_meanwhile_stays_and_the_rest_is_put_beside_it(
    finished_s3: Bucket, proxy: FaultProxy, mended: None
) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(retry, finished_s3, endpoint_url=proxy.url)
        rule.wait_until_held()
        assert retry(finished_s3, classes=["NullValue"])["errors"] == {"NullValue": 2, "ValueError": 4}
        rule.release()
        assert slow.result(timeout=60)["errors"] == {"NullValue": 2}
    assert errors_of(finished_s3) == {("NullValue", 2): 1, ("NullValue", 3): 1}
    assert [seen.status for seen in proxy.requests("PUT", "/p=0/part-")] == [412, 200]


@pytest.mark.parametrize("mends", ["run", "retry"])
def test_a_retry_killed_between_two_parts_leaves_an_unfinished_job_that_either_command_mends(
    finished_s3: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, mends: str
) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=1/part-"))
    output = f"{finished_s3.url}out/"
    with started("retry", output, *OWN, AWS_ENDPOINT_URL=proxy.url, MENDED="yes") as process:
        rule.wait_until_held()
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
        rule.release(forward=False)
    status = read_status(output)
    assert (status["finished"], status["shards_done"], status["error_rows"]) == (False, 2, 4)
    assert f"out/{SUCCESS}" not in finished_s3.etags()
    monkeypatch.setenv("MENDED", "yes")
    manifest = run(finished_s3) if mends == "run" else retry(finished_s3)
    left = {"NullValue": 2, "ValueError": 2} if mends == "run" else {"NullValue": 2}
    assert manifest["errors"] == read_status(output)["errors"] == left
    assert retry(finished_s3)["errors"] == {"NullValue": 2}
    assert len(part_keys(finished_s3)) == 2
    assert [row["_row"] for row in read_output(finished_s3).to_pylist()] == [*range(40)] * 2


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_input_that_changed_is_refused_by_name_and_the_output_stays_finished(
    place: Place, command: Command, how: str
) -> None:
    put_input(place)
    run(place)
    before = read_output(place)
    if how == "changed":
        put_table(place, "in/p=0/a.parquet", pa.table({"id": [1], "text": ["another"], "truth": ["few"]}))
    else:
        place.delete("in/p=0/a.parquet")
    assert_refused(command("retry", f"{place.url}out/", *OWN), 3, "in/p=0/a.parquet changed after it was planned")
    assert read_status(f"{place.url}out/")["finished"]
    assert read_output(place).drop(["error"]).equals(before.drop(["error"]))


def test_input_that_changed_where_no_row_failed_does_not_matter(finished: Place, mended: None) -> None:
    finished.delete("in/p=2/a.parquet")
    assert retry(finished)["errors"] == {"NullValue": 2}


def test_another_model_is_refused(folder: Folder, vowels: Path) -> None:
    put_input(folder)
    run(folder)
    with pytest.raises(FingerprintMismatch, match="model: "):
        retry(folder, str(vowels))


def test_a_model_named_by_a_relative_folder_is_found_from_elsewhere(
    folder: Folder, vowels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(folder, "in/a.parquet", pa.table({"steps": pa.array([[[0.0] * 12] * 7, None])}))
    monkeypatch.chdir(vowels.parent)
    job = {"model": f"./{vowels.name}", "input": f"{folder.url}in/", "output": f"{folder.url}out/"}
    assert run_job(job)["error_rows"] == 1
    monkeypatch.chdir(tmp_path)
    assert retry(folder, None)["error_rows"] == 1
    assert errors_of(folder) == {("NullValue", 2): 1}


def test_a_finished_job_without_error_rows_is_left_alone(place: Place, command: Command) -> None:
    put_table(place, "in/a.parquet", pa.table({"text": ["one", "two words"]}))
    run(place)
    before = place.etags()
    end = command("retry", f"{place.url}out/", *OWN)
    assert end.code == 0, end.err
    assert "0 error rows" in end.out
    assert "nothing was left to do" in end.out
    assert place.etags() == before


def test_too_many_error_rows_are_said_and_a_finished_job_stays_finished(finished: Place) -> None:
    with pytest.raises(TooManyErrors, match="6 of 120 rows"):
        retry(finished, max_error_rate=0.01)
    assert errors_of(finished) == {("NullValue", 2): 2, ("ValueError", 2): 4}
    assert read_status(f"{finished.url}out/")["finished"]


def test_a_job_that_stopped_at_its_error_rate_is_finished_by_a_retry(folder: Folder, mended: None) -> None:
    put_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MENDED")
        with pytest.raises(TooManyErrors):
            run(folder, max_error_rate=0.02)
    assert not read_status(f"{folder.url}out/")["finished"]
    assert retry(folder, max_error_rate=0.02)["errors"] == {"NullValue": 2}
    assert read_status(f"{folder.url}out/")["finished"]


def test_parts_of_an_unfinished_job_are_retried_and_the_run_goes_on_beside(
    finished: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = next(key for key in part_keys(finished) if "/p=1/" in key)
    for key in (lost, f"out/{SUCCESS}", f"out/{MANIFEST}"):
        finished.delete(key)
    monkeypatch.setenv("MENDED", "yes")
    with pytest.raises(Interrupted, match="1 of 3 shards are not committed yet"):
        retry(finished)
    assert errors_of(finished) == {("NullValue", 2): 1}
    assert run(finished)["errors"] == {"NullValue": 2}
    assert retry(finished)["rows"] == 120


def test_sigterm_leaves_what_is_done_and_a_finished_output(finished_s3: Bucket, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-"))
    output = f"{finished_s3.url}out/"
    with started("retry", output, *OWN, AWS_ENDPOINT_URL=proxy.url, MENDED="yes") as process:
        rule.wait_until_held()
        process.send_signal(signal.SIGTERM)
        rule.release()
        end = ended(process)
    assert end.code == 75
    assert "SIGTERM" in end.complaint
    status = read_status(output)
    assert (status["finished"], status["error_rows"], status["errors"]) == (True, 4, {"NullValue": 2, "ValueError": 2})


def test_a_store_that_ignores_if_match_is_found_before_anything_is_touched(
    finished_s3: Bucket, proxy: FaultProxy
) -> None:
    proxy.add(Rule(fault="strip", method="PUT", header="If-Match", times=None))
    before = finished_s3.etags("out/p=")
    with pytest.raises(ConditionIgnored, match="does not honour If-Match"):
        retry(finished_s3, endpoint_url=proxy.url)
    assert finished_s3.etags("out/p=") == before
    assert read_status(f"{finished_s3.url}out/")["finished"]


class OvertakenStore(LocalStore):
    """The store, in which a retry replaces parts while a run writes the manifest that it made before."""

    def put_if_absent(self, key: str, body: Any, **more: Any) -> bool:
        put = super().put_if_absent(key, body, **more)
        if key == SUCCESS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MENDED", "yes")
                retry_job(self.url, model=OWN[1])
        return put


def test_a_manifest_made_before_a_part_was_replaced_does_not_stay(folder: Folder) -> None:
    from batch.commit import commit_manifest, withdraw

    put_input(folder)
    run(folder)
    stale = read_json(folder, f"out/{MANIFEST}")
    store = OvertakenStore(f"{folder.url}out/")
    withdraw(store, plans=1)
    assert not commit_manifest(store, stale, attempt="late")
    assert read_json(folder, f"out/{MANIFEST}")["errors"] == {"NullValue": 2}
    assert read_status(f"{folder.url}out/")["error_rows"] == 2


def test_a_manifest_that_tells_of_other_parts_is_not_taken_for_true(folder: Folder, mended: None) -> None:
    """As a killed retry leaves it beside a run that finished at that moment."""
    put_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MENDED")
        run(folder)
    stale = {name: folder.get(f"out/{name}") for name in (MANIFEST, SUCCESS)}
    retry(folder)
    for name, body in stale.items():
        folder.put(f"out/{name}", body)
    assert not read_status(f"{folder.url}out/")["finished"]
    assert run(folder)["errors"] == {"NullValue": 2}
    assert read_status(f"{folder.url}out/")["finished"]


def test_the_footer_tells_of_the_part_as_it_is(finished: Place, mended: None) -> None:
    retry(finished)
    for key, table in read_parts(finished).items():
        footer = pq.read_metadata(pa.BufferReader(finished.get(key)))
        account = json.loads(footer.metadata[b"tandem"])
        errors = Counter(error["class"] for error in table["error"].to_pylist() if error)
        assert (account["rows"], account["errors"]) == (table.num_rows, errors)
        assert account["shard"] in key
        assert account.get("retries", 0) == (0 if "/p=2/" in key else 1)


def test_an_output_of_a_version_without_these_notes_is_refused(folder: Folder) -> None:
    put_input(folder)
    run(folder)
    record = read_json(folder, "out/_tandem/job.json")
    del record["begun"]
    folder.put("out/_tandem/job.json", json.dumps(record).encode())
    with pytest.raises(UsageError, match="did not note where its model and input are"):
        retry(folder)


def test_a_class_is_not_imported_because_an_output_names_it(
    folder: Folder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_input(folder)
    run(folder)
    (tmp_path / "theirs.py").write_text("raise AssertionError('their code runs here')")
    monkeypatch.syspath_prepend(tmp_path)
    record = read_json(folder, "out/_tandem/job.json")
    record["begun"]["model"] = "theirs:Model"
    folder.put("out/_tandem/job.json", json.dumps(record).encode())
    assert_refused(command("retry", f"{folder.url}out/"), 2, "is the class 'theirs:Model'", "name it with --model")


def test_the_command_says_what_came_of_it(finished_s3: Bucket) -> None:
    end = tandem("retry", f"{finished_s3.url}out/", *OWN, MENDED="yes")
    assert end.code == 0, end.err
    assert "80 rows in 2 parts, 2 error rows" in end.out
    assert "this run: 6 rows" in end.out
    again = tandem("retry", f"{finished_s3.url}nowhere/", *OWN)
    assert_refused(again, 2, "no job has begun here")
