"""`tandem retry` that is killed or stopped, or of a job that is not finished: which job it leaves, and what it says."""

from __future__ import annotations

import signal

import pyarrow as pa
import pytest

from batch.commit import MANIFEST, SUCCESS
from batch.errors import TooManyErrors
from batch.status import read_status
from tests.batch.command import Command, assert_refused, ended, started
from tests.batch.places import Bucket, Folder, Place, part_keys, put_table, read_json, read_output
from tests.batch.retry.faulty import OWN, errors_of, put_input, retry, run
from tests.fault_proxy import FaultProxy, Rule


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


def test_of_an_unfinished_job_what_there_is_is_run_again_and_the_line_says_that_the_rest_takes_a_run(
    finished: Place, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and not 75: the same command again would not finish the job, however often."""
    lost = next(key for key in part_keys(finished) if "/p=1/" in key)
    for key in (lost, f"out/{SUCCESS}", f"out/{MANIFEST}"):
        finished.delete(key)
    monkeypatch.setenv("MENDED", "yes")
    words = ("retry", f"{finished.url}out/", *OWN, "--class", "ValueError")
    said = f"1 of 3 shards of {finished.url}out/ have no part yet"
    assert_refused(command(*words), 2, said, "run the job's own `tandem run` again", "2 error rows of the others were")
    assert errors_of(finished) == {("NullValue", 1): 1}
    before = finished.etags("out/p=")
    assert_refused(command(*words), 2, said, "The others had none to run again")
    assert finished.etags("out/p=") == before
    assert run(finished)["errors"] == {"NullValue": 2}
    assert retry(finished)["rows"] == 120


@pytest.mark.parametrize("mends", ["run", "retry"])
def test_a_retry_killed_between_two_parts_leaves_an_unfinished_job_that_either_command_mends(
    s3_place: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, mends: str
) -> None:
    """And the manifest's `run` is the job's again, with its estimate; `retried` is the retry's that mended it."""
    put_input(s3_place, good=0)
    jobs_own = run(s3_place, max_minutes=60)["run"]
    assert jobs_own["estimate"]
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=1/part-"))
    output = f"{s3_place.url}out/"
    with started("retry", output, *OWN, AWS_ENDPOINT_URL=proxy.url, MENDED="yes") as process:
        rule.wait_until_held()
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=20) == -signal.SIGKILL
        rule.release(forward=False)
    status = read_status(output)
    assert (status["finished"], status["shards_done"], status["error_rows"]) == (False, 2, 4)
    assert f"out/{SUCCESS}" not in s3_place.etags()
    monkeypatch.setenv("MENDED", "yes")
    manifest = run(s3_place) if mends == "run" else retry(s3_place)
    left = {"NullValue": 2, "ValueError": 2} if mends == "run" else {"NullValue": 2}
    assert manifest["errors"] == read_status(output)["errors"] == left
    found = read_json(s3_place, f"out/{MANIFEST}")
    assert (found["run"], found.get("retried", {}).get("rows")) == (jobs_own, None if mends == "run" else 4)
    assert retry(s3_place)["errors"] == {"NullValue": 2}
    assert read_json(s3_place, f"out/{MANIFEST}")["run"] == jobs_own
    assert len(part_keys(s3_place)) == 2
    assert [row["_row"] for row in read_output(s3_place).to_pylist()] == [*range(40)] * 2


def test_the_run_before_one_that_added_input_is_not_what_a_manifest_tells_of(finished_s3: Bucket, mended: None) -> None:
    """Though a retry had kept its account."""
    retry(finished_s3)
    put_table(finished_s3, "in/p=8/a.parquet", pa.table({"id": [1], "text": ["one"], "truth": ["few"]}))
    assert run(finished_s3)["run"]["rows"] == 1
    for key in (SUCCESS, MANIFEST):
        finished_s3.delete(f"out/{key}")
    assert retry(finished_s3)["run"]["rows"] == 2


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
