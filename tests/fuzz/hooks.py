"""What schemathesis is helped with: in half of the requests a model, or a job, that is there."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from typing import Any

import schemathesis

MODELS = ("letters", "letters:1", "counts")
#: The jobs that were taken, by id.
JOBS: list[str] = []


def draw(drawn: Any) -> int:
    """A number that depends on nothing but what was drawn, so that a failure can be found again by its seed."""
    return zlib.crc32(json.dumps(drawn, sort_keys=True, default=str).encode())


@schemathesis.hook  # type: ignore[untyped-decorator]
def map_body(context: Any, body: Any) -> Any:
    """Name a model that is served, or a job that can be run."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str) or not 0 < len(body["model"]) <= 1024:
        return body
    chance = draw(body)
    if chance % 2 and context.operation.path != "/models/unload":
        body["model"] = "counts" if context.operation.path.startswith("/v1/") else MODELS[chance // 2 % len(MODELS)]
    rows = os.environ["FUZZ_ROWS"]
    if context.operation.path == "/jobs" and chance % 16 == 1:
        return {"model": "letters", "input": f"{rows}/in.parquet", "output": f"{rows}/out-{chance // 16 % 3}/"}
    return body


@schemathesis.hook  # type: ignore[untyped-decorator]
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Name a model and its version, or a job."""
    chance = draw(path_parameters)
    if isinstance(path_parameters, dict) and chance % 2 and "/repository/" not in context.operation.path:
        if isinstance(path_parameters.get("model"), str):
            path_parameters["model"] = "letters"
        if isinstance(path_parameters.get("version"), str):
            path_parameters["version"] = "1"
        if isinstance(path_parameters.get("id"), str) and JOBS:
            path_parameters["id"] = JOBS[chance // 2 % len(JOBS)]
    return path_parameters


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Leave one model: a server without any is not ready, and says so."""
    if case.operation.path.endswith("/unload"):
        for named in (case.body, case.path_parameters):
            if isinstance(named, dict) and str(named.get("model")).startswith("letters"):
                named["model"] = "poison:1"
    with contextlib.suppress(KeyError, ValueError):
        if 0 < float(case.headers["X-Request-Timeout"]) < 30:
            case.headers["X-Request-Timeout"] = "30"  # less is not met, as it should be


@schemathesis.hook  # type: ignore[untyped-decorator]
def after_call(context: Any, case: Any, response: Any) -> None:
    """Remember the jobs."""
    if case.operation.path == "/jobs" and response.status_code == 201:
        JOBS.append(json.loads(response.content)["id"])
