"""AWS Batch: a job as an array of machines, found again by its id."""

from __future__ import annotations

from typing import Any

from batch.errors import InputNotFound, UsageError
from batch.spec import JobSpec
from batch.submit.aws import aws_faults, open_client, stack_output
from batch.submit.command import job_name, output_of, run_words
from batch.submit.ran import Failed, Ran, Submitted

AT_WORK = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
OVER = ("SUCCEEDED", "FAILED")
#: What the stack calls them (infra/aws/template.yaml); a test compares.
QUEUE, DEFINITION = "JobQueueArn", "JobDefinitionArn"


def describe_request(job: JobSpec, *, machines: int, queue: str, definition: str) -> dict[str, Any]:
    """What SubmitJob is asked: one job, or an array of them, whose command says every setting.

    Raises:
        UsageError: a setting holds `Ref::`, which AWS Batch would replace.
    """
    words = run_words(job, machines=machines)
    if marked := [word for word in words if "Ref::" in word]:
        raise UsageError(f"AWS Batch would replace the Ref:: in {marked[0]!r}; write it otherwise.")
    asked: dict[str, Any] = {
        "jobName": job_name(job),
        "jobQueue": queue,
        "jobDefinition": definition,
        "containerOverrides": {"command": words},
        "tags": {"application": "tandem"},
    }
    return asked | ({"arrayProperties": {"size": machines}} if machines > 1 else {})


def find_places(stack: str, queue: str | None, definition: str | None, *, region: str | None) -> tuple[str, str]:
    """The queue and the definition: as named, else the stack's."""
    return (
        queue or stack_output(stack, QUEUE, region=region, instead="--queue"),
        definition or stack_output(stack, DEFINITION, region=region, instead="--definition"),
    )


def submit(request: dict[str, Any], *, region: str | None) -> Submitted:
    """Submit, unless the same job is at work in that queue.

    Two that submit at once may both succeed: a shard that is run twice is safe and costs its arithmetic.
    """
    client = open_client("batch", region)
    queue, name = request["jobQueue"], request["jobName"]
    # By name alone: AWS does not take a state beside it.
    with aws_faults("batch:ListJobs", f"the queue {queue}"):
        pages = client.get_paginator("list_jobs").paginate(
            jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}]
        )
        found = [entry for page in pages for entry in page["jobSummaryList"] if ":" not in entry["jobId"]]
    for entry in sorted(found, key=lambda entry: -int(entry.get("createdAt", 0))):
        if entry["status"] in AT_WORK and not look(entry["jobId"], region=region).is_over:
            return Submitted(id=f"aws-batch:{entry['jobId']}", name=name, was_there=True)
    with aws_faults("batch:SubmitJob", f"{request['jobDefinition']} to {queue}"):
        return Submitted(id=f"aws-batch:{client.submit_job(**request)['jobId']}", name=name)


def look(job_id: str, *, region: str | None, profile: str | None = None) -> Ran:
    """Where a job stands: its machines by state, and of those that failed the exit code and AWS's reason.

    One request, and a page of them for each hundred machines that failed.

    Raises:
        InputNotFound: there is no such job in this region; AWS forgets one a week after it ended.
    """
    client = open_client("batch", region, profile)
    with aws_faults("batch:DescribeJobs", job_id):
        found = client.describe_jobs(jobs=[job_id])["jobs"]
    if not found:
        raise InputNotFound(
            f"aws-batch:{job_id}",
            f"AWS Batch in {client.meta.region_name} knows no such job",
            advice="Check --region; a week after its end a job is forgotten, and `tandem status OUTPUT` still tells.",
        )
    job = found[0]
    size = job.get("arrayProperties", {}).get("size")
    summary = job.get("arrayProperties", {}).get("statusSummary") or {}
    states = {state: summary[state] for state in (*AT_WORK, *OVER) if summary.get(state)} if size else {}
    states = states or {job["status"]: size or 1}
    failed = read_failed(client, job, is_array=bool(size)) if states.get("FAILED") else []
    return Ran(
        id=f"aws-batch:{job_id}",
        name=job["jobName"],
        output=output_of(job.get("container", {}).get("command", [])),
        states=states,
        is_over=sum(states.get(state, 0) for state in OVER) == sum(states.values()),
        any_done=bool(states.get("SUCCEEDED")),
        failed=failed,
    )


def read_failed(client: Any, job: dict[str, Any], *, is_array: bool) -> list[Failed]:
    """The machines that failed, in order."""
    if not is_array:
        return [failed_from(job)]
    with aws_faults("batch:ListJobs", job["jobId"]):
        pages = client.get_paginator("list_jobs").paginate(arrayJobId=job["jobId"], jobStatus="FAILED")
        found = [failed_from(entry) for page in pages for entry in page["jobSummaryList"]]
    return sorted(found, key=lambda failed: int(failed.machine) if failed.machine.isdecimal() else 0)


def failed_from(entry: dict[str, Any]) -> Failed:
    container = entry.get("container", {})
    return Failed(
        machine=entry["jobId"].rpartition(":")[2] if ":" in entry["jobId"] else "0",
        exit_code=container.get("exitCode"),
        reason=container.get("reason") or entry.get("statusReason") or "",
    )
