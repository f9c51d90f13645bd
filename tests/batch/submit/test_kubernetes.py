"""`tandem submit --to kubernetes`: an Indexed Job by kubectl, here one whose cluster is a folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.batch.command import ROOT, Command, assert_refused
from tests.batch.submit.conftest import FITS

IMAGE = ("--image", "registry.test/tandem-batch:0.1.0")
SUBMIT = ("submit", "--to", "kubernetes", *FITS, *IMAGE, "--machines", "3")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: str) -> Path:
    """The folder that holds the cluster's objects; kubectl is first on the path."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    script = ROOT / "tests" / "batch" / "submit" / "kubectl_on_paper.py"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "cluster").mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("KUBECTL_FOLDER", str(tmp_path / "cluster"))
    return tmp_path / "cluster"


def submitted(command: Command, *more: str) -> tuple[str, str]:
    """The id, and the Job's name."""
    end = command(*SUBMIT, *more)
    assert end.code == 0, end.err
    place = end.out.splitlines()[-1]
    return place, place.rpartition("/")[2]


def say(cluster: Path, name: str, pods: list[tuple[int, str, int | None]], **status: Any) -> None:
    """How the Job stands, and its pods as (index, phase, exit code)."""
    file = cluster / f"tandem.{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": status}))
    items = [
        {
            "metadata": {"annotations": {"batch.kubernetes.io/job-completion-index": str(index)}},
            "status": {
                "phase": phase,
                "startTime": f"2026-11-24T10:00:{second:02}Z",
                "containerStatuses": [{"state": {"terminated": {"exitCode": code, "reason": "Error"}}}],
            },
        }
        for second, (index, phase, code) in enumerate(pods)
    ]
    (cluster / "tandem.pods").write_text(json.dumps({"items": items}))


def expanded(text: str) -> str:
    """As Kubernetes does: `$$` is `$`, `$(NAME)` the variable."""
    return re.sub(r"\$(\$|\((\w+)\))", lambda found: "$" if found[1] == "$" else "/root", text)


def ended(kind: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": "True"}]


def test_the_job_has_an_index_for_each_machine_and_retries_by_exit_code(command: Command, cluster: Path) -> None:
    place, name = submitted(command)
    assert place == f"kubernetes:tandem/{name}"
    job = json.loads((cluster / f"tandem.{name}.json").read_text())
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    (by_code,) = [rule for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert by_code == {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [2, 3, 4, 77]}}
    assert spec["backoffLimitPerIndex"] > 0
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == IMAGE[1]
    assert container["args"][:5] == ["run", "--engine", "array", "--array-size", "3"]
    assert pod["restartPolicy"] == "Never"  # a pod failure policy takes no other
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_pods_are_those_of_the_file_of_infra(command: Command, cluster: Path) -> None:
    file = yaml.safe_load((ROOT / "infra" / "kubernetes" / "job" / "job.yaml").read_text())
    made = json.loads(command(*SUBMIT, "--dry-run").out)
    assert made["metadata"]["labels"] == file["metadata"]["labels"]
    ours, theirs = (job["spec"]["template"]["spec"] for job in (made, file))
    for key in ("tolerations", "terminationGracePeriodSeconds", "serviceAccountName", "automountServiceAccountToken"):
        assert ours[key] == theirs[key], key
    assert ours["containers"][0]["resources"] == theirs["containers"][0]["resources"]
    assert ours["volumes"][0] in theirs["volumes"]
    assert ours["containers"][0]["volumeMounts"][0] in theirs["containers"][0]["volumeMounts"]


def test_what_kubernetes_would_replace_in_a_setting_comes_through_as_it_is(command: Command, cluster: Path) -> None:
    where = "name IN ('$(HOME)', '$$(x)', '$$', '$1', '$')"
    end = command(*SUBMIT, "--where", where, "--dry-run")
    args = json.loads(end.out)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert expanded(args[args.index("--where") + 1]) == where
    assert expanded(where) != where
    assert not list(cluster.iterdir())


def test_the_same_job_at_work_is_not_begun_twice_and_once_over_is_begun_anew(command: Command, cluster: Path) -> None:
    place, name = submitted(command)
    again = command(*SUBMIT)
    assert "at work already" in again.out
    assert again.out.splitlines()[-1] == place
    say(cluster, name, [], conditions=ended("Failed"))
    assert submitted(command) == (f"{place}-2", f"{name}-2")


def test_status_says_the_pods_by_state_and_why_an_index_failed(command: Command, cluster: Path) -> None:
    place, name = submitted(command)
    pods = [(0, "Succeeded", 0), (1, "Running", None), (2, "Failed", 75), (2, "Failed", 3)]
    say(cluster, name, pods, active=1, succeeded=1, failed=2, failedIndexes="2")
    found = command("status", place)
    assert found.code == 0, found.err
    assert "machines  1 ACTIVE, 1 SUCCEEDED, 1 FAILED" in found.out
    assert "failed    machine 2: exit code 3: Error" in found.out


@pytest.mark.parametrize(
    ("codes", "expected"), [((75, 137, 143), 75), ((75, 77, 3), 77), ((3, 3, 3), 3), ((4, 75, 75), 4)]
)
def test_the_exit_code_of_a_job_that_is_over_is_the_jobs(
    command: Command, cluster: Path, codes: tuple[int, ...], expected: int
) -> None:
    place, name = submitted(command)
    pods: list[tuple[int, str, int | None]] = [(index, "Failed", code) for index, code in enumerate(codes)]
    say(cluster, name, pods, failed=3, failedIndexes="0-2", conditions=ended("Failed"))
    assert command("status", place, "--follow").code == expected


@pytest.mark.parametrize(
    ("said", "code", "part"),
    [
        ('Error from server (Forbidden): jobs.batch is forbidden: User "me"', 77, "forbidden"),
        ("error: You must be logged in to the server (Unauthorized)", 77, "logged in"),
        ("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host", 75, "was refused"),
        ("Unable to connect to the server: dial tcp: lookup k8s: no such host", 75, "no such host"),
        ("error: unknown flag: --request-timeut", 2, "unknown flag"),
    ],
)
def test_what_a_cluster_refuses_is_one_line_and_its_exit_code(
    command: Command, cluster: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, part: str
) -> None:
    monkeypatch.setenv("KUBECTL_SAYS", said)
    assert_refused(command(*SUBMIT), code, part)
    assert_refused(command("status", "kubernetes:tandem/x"), code, part)


def test_without_kubectl_one_line_says_so(command: Command, cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cluster))
    assert_refused(command(*SUBMIT), 2, "kubectl is not on the path", "--dry-run")


def test_without_an_image_or_a_job_of_that_name_one_line_says_so(command: Command, cluster: Path) -> None:
    assert_refused(command("submit", "--to", "kubernetes", *FITS), 2, "--image")
    assert_refused(command("status", "kubernetes:tandem/none"), 2, "not found")
