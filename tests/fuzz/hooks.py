"""What schemathesis is helped with: half of its well-formed requests name a model, or a job, that is there."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from typing import Any

import schemathesis

MODELS = ("letters", "letters:1", "counts", "vowels-bilstm", "fashion-resnet")
#: The jobs that were taken, by id.
JOBS: list[str] = []


def draw(drawn: Any) -> int:
    """A number that depends on nothing but what was drawn, so that a failure can be found again by its seed."""
    return zlib.crc32(json.dumps(drawn, sort_keys=True, default=str).encode())


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """See that what is drawn reaches more than refusals; a request that is to be refused is left as it is."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        name_what_is_there(case)
    leave_a_model(case)
    with contextlib.suppress(KeyError, ValueError):
        if 0 < float(case.headers["X-Request-Timeout"]) < 30:
            case.headers["X-Request-Timeout"] = "30"  # less is not met, as it should be


@schemathesis.hook  # type: ignore[untyped-decorator]
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the jobs."""
    if case.operation.path == "/jobs" and response.status_code == 201:
        JOBS.append(json.loads(response.content)["id"])


def name_what_is_there(case: Any) -> None:
    """Name a model that is served, its version, a job that there is, or a job that can be run."""
    path, body, places = case.operation.path, case.body, case.path_parameters or {}
    chance = draw([body if isinstance(body, dict) else None, places])
    if path == "/jobs" and isinstance(body, dict) and chance % 16 == 1:
        rows = os.environ["FUZZ_ROWS"]
        case.body = {"model": "letters", "input": f"{rows}/in.parquet", "output": f"{rows}/out-{chance // 16 % 3}/"}
    elif chance % 2 and not path.endswith("/unload"):
        model = "counts" if path.startswith("/v1/") else MODELS[chance // 2 % len(MODELS)]
        if isinstance(body, dict) and "model" in body:
            body["model"] = model
        if "model" in places:
            places["model"] = model.partition(":")[0]
        if "version" in places:
            places["version"] = "1"
        if "id" in places and JOBS:
            places["id"] = JOBS[chance // 2 % len(JOBS)]


def leave_a_model(case: Any) -> None:
    """A server without any model is not ready, and says so: one is never unloaded."""
    if case.operation.path.endswith("/unload"):
        for named in (case.body, case.path_parameters):
            if isinstance(named, dict) and str(named.get("model")).startswith("letters"):
                named["model"] = "poison:1"
