"""Kubernetes: a job as an Indexed Job, made by kubectl, whose pods share nothing but the store."""

from __future__ import annotations

import json
from typing import Any

from batch.spec import JobSpec
from batch.submit.command import job_name, output_of, run_words
from batch.submit.kubectl import ask_kubectl, find_object
from batch.submit.ran import Failed, Ran, Submitted

#: Pods at work at once are all of them; a pod that ends with 75 or is evicted is started again so often.
RETRIES_OF_AN_INDEX = 5
#: Exit codes that another try does not cure: its index has failed, and the others go on.
NOT_WORTH_A_RETRY = [2, 3, 4, 77]
KEPT_S = 7 * 24 * 3600
LABELS = {"app.kubernetes.io/name": "tandem", "app.kubernetes.io/component": "job"}
#: Where Kueue is installed, the queue that a Job waits in; elsewhere the label does nothing.
QUEUE = {"kueue.x-k8s.io/queue-name": "tandem"}
#: Nodes that may be reclaimed at any time do: nothing is lost with one.
SPOT = [
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
    {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    {"key": "spot", "operator": "Exists", "effect": "NoSchedule"},
]
#: Told to end, a machine commits the shard that it has in hand.
GRACE_S = 110
SCRATCH = "10Gi"
#: A job may be submitted so often, one after the other, before its old ones are cleared away.
MOST_TRIES = 100


def describe_request(
    job: JobSpec, *, machines: int, image: str, namespace: str, service_account: str
) -> dict[str, Any]:
    """The Job: an index a machine, of the form that infra/kubernetes has."""
    # Kubernetes replaces $(NAME) in arguments by a variable, and $$ by $.
    words = [word.replace("$", "$$") for word in run_words(job, machines=machines)]
    container = {
        "name": "tandem",
        "image": image,
        "args": words,
        "resources": {
            "requests": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": SCRATCH},
            "limits": {"memory": "4Gi", "ephemeral-storage": SCRATCH},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        "env": [{"name": "HOME", "value": "/tmp"}],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "tolerations": SPOT,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}}],
    }
    lost = {"type": "DisruptionTarget", "status": "True"}
    rules = [
        {"action": "Ignore", "onPodConditions": [lost]},
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": NOT_WORTH_A_RETRY}},
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(job), "namespace": namespace, "labels": LABELS | QUEUE},
        "spec": {
            "completionMode": "Indexed",
            "completions": machines,
            "parallelism": machines,
            "backoffLimitPerIndex": RETRIES_OF_AN_INDEX,
            "podFailurePolicy": {"rules": rules},
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": pod},
        },
    }


def submit(manifest: dict[str, Any]) -> Submitted:
    """Create the Job, unless the same is at work. Of several that submit at once exactly one creates it.

    Raises:
        KubectlMissing: there is no kubectl.
        JobError: the cluster does not answer, or does not let us.
    """
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    for attempt in range(1, MOST_TRIES + 1):
        named = name if attempt == 1 else f"{name}-{attempt}"
        place = f"kubernetes:{namespace}/{named}"
        found = find_object("job", named, namespace=namespace)
        if found is None:
            made = manifest | {"metadata": manifest["metadata"] | {"name": named}}
            if ask_kubectl("create", "-f", "-", "-o", "name", given=json.dumps(made), may_exist=True) is not None:
                return Submitted(id=place, name=named)
            return Submitted(id=place, name=named, was_there=True)
        if ended_by(found) is None:
            return Submitted(id=place, name=named, was_there=True)
    raise AssertionError(f"{MOST_TRIES} jobs named {name}")


def look(place: str) -> Ran:
    """Where a Job stands; `place` is NAMESPACE/NAME."""
    namespace, _, name = place.rpartition("/")
    namespace = namespace or "default"
    job = find_object("job", name, namespace=namespace, must=True)
    assert job is not None
    status, ended = job.get("status", {}), ended_by(job)
    wanted = int(job["spec"].get("completions", 1))
    counts = {
        "ACTIVE": int(status.get("active", 0)),
        "SUCCEEDED": int(status.get("succeeded", 0)),
        "FAILED": len(indexes(status.get("failedIndexes", ""))) or (int(status.get("failed", 0)) if ended else 0),
    }
    states = {state: many for state, many in counts.items() if many} or {"PENDING": wanted}
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = [word.replace("$$", "$") for word in container.get("args", [])]
    return Ran(
        id=f"kubernetes:{namespace}/{name}",
        name=name,
        output=output_of(words),
        states=states,
        is_over=ended is not None,
        any_done=bool(counts["SUCCEEDED"]),
        failed=read_failed(name, namespace, ended) if counts["FAILED"] or ended == "Failed" else [],
    )


def ended_by(job: dict[str, Any]) -> str | None:
    """Complete or Failed; None while it is at work."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def indexes(text: str) -> list[int]:
    """Kubernetes' own form, `1,3-5,7`."""
    found: list[int] = []
    for span in filter(None, text.split(",")):
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def read_failed(name: str, namespace: str, ended: str | None) -> list[Failed]:
    """Of each index the pod that failed last; one that is tried again is not among them once it has succeeded."""
    listed = ask_kubectl("get", "pods", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={name}", "-o", "json")
    assert listed is not None
    found: dict[str, Failed] = {}
    done: set[str] = set()
    for pod in sorted(json.loads(listed)["items"], key=lambda pod: str(pod.get("status", {}).get("startTime", ""))):
        index = pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", "0")
        phase = pod.get("status", {}).get("phase")
        if phase == "Succeeded":
            done.add(index)
        elif phase == "Failed":
            found[index] = failed_from(index, pod["status"])
    left = [failed for index, failed in found.items() if index not in done]
    return sorted(left, key=lambda failed: int(failed.machine)) or ([lost(ended)] if ended == "Failed" else [])


def lost(ended: str) -> Failed:
    """The Job failed and its pods are gone."""
    return Failed(machine="0", exit_code=None, reason=f"{ended}: its pods are gone")


def failed_from(index: str, status: dict[str, Any]) -> Failed:
    states = [entry.get("state", {}).get("terminated") for entry in status.get("containerStatuses", [])]
    ended: dict[str, Any] = next((state for state in states if state), {})
    reason = ended.get("reason") or status.get("reason") or status.get("message") or ""
    return Failed(machine=index, exit_code=ended.get("exitCode"), reason=reason)
