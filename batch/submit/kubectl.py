"""kubectl: the one way to a cluster, so that its settings, plugins and logins are the user's own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from batch.errors import AccessDenied, InputNotFound, JobError, StoreUnavailable, UsageError

#: kubectl's own bound on a request; ours is above it, for a plugin that logs in and hangs.
REQUEST_S, MOST_S = 30, 60


class KubectlMissing(UsageError):
    """There is no kubectl on the path."""

    def __init__(self) -> None:
        super().__init__(
            "kubectl is not on the path, and a Job is made with it; install it, or write the Job out with --dry-run "
            "and `kubectl create -f` it where there is one."
        )


def ask_kubectl(*words: str, given: str | None = None, may_exist: bool = False) -> str | None:
    """What kubectl answers.

    Args:
        given: its standard input.
        may_exist: None is returned where what is to be made is there already.

    Raises:
        KubectlMissing: there is none.
        AccessDenied: the cluster knows us not, or does not let us (77).
        StoreUnavailable: it does not answer (75).
        InputNotFound: there is no such object.
        UsageError: anything else.
    """
    command = ["kubectl", *words, f"--request-timeout={REQUEST_S}s"]
    try:
        ran = subprocess.run(command, input=given or "", capture_output=True, text=True, timeout=MOST_S, check=False)
    except FileNotFoundError:
        raise KubectlMissing from None
    except subprocess.TimeoutExpired:
        raise StoreUnavailable("ask", "the cluster", f"kubectl did not end within {MOST_S} s") from None
    if ran.returncode == 0:
        return ran.stdout
    said = " ".join(ran.stderr.split())
    if may_exist and "(AlreadyExists)" in said:
        return None
    raise as_job_error(said, " ".join(words[:2]))


def as_job_error(said: str, action: str) -> JobError:
    """kubectl has one exit code for everything: the reason of the API's answer stands in its line."""
    if "(Forbidden)" in said or "(Unauthorized)" in said or "must be logged in" in said:
        advice = f"kubectl says: {said[:300]}"
        return AccessDenied(action, "the cluster", code="Forbidden", advice=advice, is_about_credentials=True)
    if "(NotFound)" in said:
        return InputNotFound(
            "in the cluster the object", said[:300].rstrip("."), advice="Check the id and --namespace."
        )
    unanswered = ("was refused", "Unable to connect", "i/o timeout", "(ServiceUnavailable)", "(TooManyRequests)")
    if any(word in said for word in (*unanswered, "(Timeout)", "(InternalError)", "no such host")):
        return StoreUnavailable(action, "the cluster", said[:300].rstrip("."))
    return UsageError(f"kubectl {action} was refused: {said[:300].rstrip('.')}.")


def find_object(kind: str, name: str, *, namespace: str, must: bool = False) -> dict[str, Any] | None:
    """An object; None where there is none, unless it must be."""
    ignoring = () if must else ("--ignore-not-found",)
    said = ask_kubectl("get", kind, name, "-n", namespace, "-o", "json", *ignoring)
    if not said or not said.strip():
        return None
    found = json.loads(said)
    assert isinstance(found, dict)
    return found
