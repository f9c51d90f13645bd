"""`tandem submit --to aws-batch` in the stack of infra/aws, and `tandem status` of what it printed."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from moto.batch.models import BatchBackend

from batch.submit.aws_batch import DEFINITION, QUEUE
from tests.batch.command import Command, Ended, assert_refused
from tests.batch.places import Bucket, put_table, texts
from tests.batch.submit.conftest import FITS, set_state
from tests.infra.conftest import REGION, Stack


def submitted(end: Ended) -> str:
    """The job id of what was submitted: the last line."""
    assert end.code == 0, end.err
    target, _, job_id = end.out.splitlines()[-1].partition(":")
    assert target == "aws-batch"
    return job_id


@pytest.fixture
def array(command: Command, moto_batch: BatchBackend, request: pytest.FixtureRequest) -> str:
    """An array of three of a job that no other test has; each machine is running."""
    where = ("--where", f"name = '{request.node.name}'")
    job_id = submitted(command("submit", "--to", "aws-batch", *FITS, *where, "--machines", "3"))
    for index in range(3):
        set_state(moto_batch, f"{job_id}:{index}", "RUNNING")
    set_state(moto_batch, job_id, "PENDING")  # as an array is while its machines run
    return job_id


def test_an_array_of_so_many_machines_is_submitted_where_the_stack_says(
    command: Command, stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f"model: s3://b/m\ninput: s3://b/input/\noutput: s3://b/output/{tmp_path.name}/\nshard_mb: 8\n")
    job_id = submitted(command("submit", str(file), "--to", "aws-batch", "--machines", "4", "--limit", "9"))
    (job,) = boto3.client("batch", region_name=REGION).describe_jobs(jobs=[job_id])["jobs"]
    assert job["jobQueue"] == stack.outputs[QUEUE]
    assert job["jobDefinition"] == stack.outputs[DEFINITION]
    assert job["arrayProperties"]["size"] == 4
    words = job["container"]["command"]
    assert words[:5] == ["run", "--engine", "array", "--array-size", "4"]
    assert words[words.index("--shard-mb") + 1] == "8.0"
    assert words[words.index("--limit") + 1] == "9"


def test_the_size_of_an_array_that_the_job_names_is_the_number_of_machines(command: Command, stack: Stack) -> None:
    job_id = submitted(command("submit", "--to", "aws-batch", *FITS, "--engine", "array", "--array-size", "2"))
    (job,) = boto3.client("batch", region_name=REGION).describe_jobs(jobs=[job_id])["jobs"]
    assert job["arrayProperties"]["size"] == 2
    assert job["container"]["command"].count("--array-size") == 1


def test_one_machine_is_a_plain_job(command: Command, stack: Stack) -> None:
    job_id = submitted(command("submit", "--to", "aws-batch", *FITS, "--limit", "1"))
    (job,) = boto3.client("batch", region_name=REGION).describe_jobs(jobs=[job_id])["jobs"]
    assert "arrayProperties" not in job
    assert job["container"]["command"][:3] == ["run", "--model", "s3://b/models/m"]


def test_queue_and_definition_that_are_named_need_no_stack(command: Command, stack: Stack) -> None:
    named = ("--queue", stack.outputs[QUEUE], "--definition", stack.outputs[DEFINITION], "--stack", "none-such")
    assert submitted(command("submit", "--to", "aws-batch", *FITS, "--limit", "2", *named))


def test_the_same_job_at_work_is_not_begun_twice(command: Command, array: str, moto_batch: BatchBackend) -> None:
    words = moto_batch._jobs[array].container_overrides["command"]
    where = words[words.index("--where") + 1]
    again = command("submit", "--to", "aws-batch", *FITS, "--where", where, "--machines", "3")
    assert submitted(again) == array
    assert "the same job is at work already" in again.out
    assert submitted(command("submit", "--to", "aws-batch", *FITS, "--where", where + " AND TRUE")) != array
    for index in range(3):  # AWS says so of the array itself a moment later
        set_state(moto_batch, f"{array}:{index}", "FAILED", exit_code=75)
    assert submitted(command("submit", "--to", "aws-batch", *FITS, "--where", where)) != array


def test_status_says_the_machines_by_state_and_why_one_failed(
    command: Command, array: str, moto_batch: BatchBackend
) -> None:
    set_state(moto_batch, f"{array}:0", "SUCCEEDED", exit_code=0)
    set_state(moto_batch, f"{array}:2", "FAILED", exit_code=137, why="OutOfMemoryError: Container killed")
    found = command("status", f"aws-batch:{array}")
    assert found.code == 0, found.err
    assert "machines  1 RUNNING, 1 SUCCEEDED, 1 FAILED" in found.out
    assert "failed    machine 2: exit code 137: OutOfMemoryError: Container killed" in found.out
    assert "output    s3://b/output/my-rows/" in found.out
    assert "ended     no" in found.out


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((75, 137, 143), 75), ((75, 77, 3), 77), ((3, 3, 3), 3), ((4, 75, 75), 4), ((None, None, None), 75)],
)
def test_the_exit_code_of_a_job_that_is_over_is_the_jobs(
    command: Command, array: str, moto_batch: BatchBackend, codes: tuple[int | None, ...], expected: int
) -> None:
    for index, code in enumerate(codes):
        set_state(moto_batch, f"{array}:{index}", "FAILED", exit_code=code)
    assert command("status", f"aws-batch:{array}").code == expected
    assert command("status", f"aws-batch:{array}", "--follow", "--every", "0.1").code == expected
    said = json.loads(command("status", f"aws-batch:{array}", "--json").out)
    assert (said["over"], said["exit_code"], said["machines"]) == (True, expected, {"FAILED": 3})


def test_following_goes_on_until_no_machine_will_do_more_and_says_what_has_changed(
    command: Command, array: str, moto_batch: BatchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = [(0, "SUCCEEDED", 0), (0, "SUCCEEDED", 0), (1, "FAILED", 3), (2, "FAILED", 75)]

    def sleep(_: float) -> None:
        index, state, code = then.pop(0)
        set_state(moto_batch, f"{array}:{index}", state, exit_code=code)

    monkeypatch.setattr("batch.submit.show.time.sleep", sleep)
    found = command("status", f"aws-batch:{array}", "--follow")
    assert not then
    lines = [line[9:].partition(";")[0] for line in found.out.splitlines() if line[2:3] == ":"]
    assert lines == [
        "3 RUNNING",
        "2 RUNNING, 1 SUCCEEDED",
        "1 RUNNING, 1 SUCCEEDED, 1 FAILED",
        "1 SUCCEEDED, 2 FAILED",
    ]
    assert found.code == 75  # one says that all is there, and nothing is


def test_an_image_that_cannot_be_pulled_is_not_worth_the_same_again(
    command: Command, array: str, moto_batch: BatchBackend
) -> None:
    for index in range(3):
        set_state(moto_batch, f"{array}:{index}", "FAILED", why="CannotPullContainerError: no such tag")
    assert command("status", f"aws-batch:{array}").code == 2


def test_a_job_that_others_finished_is_done_though_a_machine_was_lost(
    command: Command, moto_batch: BatchBackend, vowels: Path
) -> None:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="whole", CreateBucketConfiguration={"LocationConstraint": REGION})
    put_table(Bucket("whole", client), "in/a.parquet", texts(20))
    places = ("--input", "s3://whole/in/", "--output", "s3://whole/out/")
    job_id = submitted(command("submit", "--to", "aws-batch", "--model", "s3://b/m", *places, "--machines", "3"))
    set_state(moto_batch, f"{job_id}:1", "FAILED", exit_code=137)
    unfinished = command("status", f"aws-batch:{job_id}")
    assert unfinished.code == 75
    assert "nothing is there yet" in unfinished.out
    assert command("run", "--model", "tests.batch.own_models:WordCount", *places).code == 0
    followed = command("submit", "--to", "aws-batch", "--model", "s3://b/m", *places, "--machines", "3", "--follow")
    assert followed.code == 0, followed.err
    found = command("status", f"aws-batch:{job_id}", "--follow")
    assert found.code == 0, found.err
    assert "exit code 0: done; what 1 machine left undone, the others did" in found.out
    assert "finished  20 rows, 0 error rows" in found.out


def test_a_job_that_nobody_knows_is_said_in_one_line(command: Command, stack: Stack) -> None:
    assert_refused(command("status", "aws-batch:0000"), 2, "aws-batch:0000", REGION, "--region")
    assert_refused(command("status", "aws-batch:"), 2, "is no id")


def test_a_dry_run_says_the_request_and_submits_nothing(
    command: Command, stack: Stack, moto_batch: BatchBackend
) -> None:
    before = len(moto_batch._jobs)
    end = command("submit", "--to", "aws-batch", *FITS, "--machines", "2", "--dry-run")
    assert json.loads(end.out)["arrayProperties"] == {"size": 2}
    assert len(moto_batch._jobs) == before


def test_what_batch_would_replace_in_a_setting_is_refused(command: Command, stack: Stack) -> None:
    end = command("submit", "--to", "aws-batch", *FITS, "--where", "name = 'Ref::model'")
    assert_refused(end, 2, "Ref::", "AWS Batch would replace")
