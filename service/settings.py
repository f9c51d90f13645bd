"""What the environment tells the server."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from models.choose import Tolerance
from models.locate import zoo_folders
from models.variants import PRECISIONS, RUNTIMES
from service.errors import SettingsInvalid

DEVICES = ("auto", "cpu", "cuda", "tensorrt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the server runs.

    Attributes:
        models: names of the models: store tags, artifact folders, s3:// prefixes, or `package.module:Class`.
        runtime: `onnx`, `openvino`, `torch`, or `auto`: of each model the fastest variant within the tolerance.
        precision: `fp32`, `bf16`, `fp16`, `int8` or `auto`.
        tolerance: the largest difference from the reference that `auto` takes; see models.choose.Tolerance.
        device: `auto`, `cpu`, `cuda` or `tensorrt`.
        threads: of the arithmetic of one lane.
        max_queue_rows: rows that wait for one lane, and the most that one request may hold.
        max_wait_s: predicted seconds for its turn beyond which a request is refused.
        max_body_bytes: of one request.
    """

    models: tuple[str, ...]
    runtime: str
    precision: str
    tolerance: Tolerance
    device: str
    threads: int
    max_queue_rows: int
    max_wait_s: int
    max_body_bytes: int


def read_settings(environ: Mapping[str, str], *, built_with: tuple[str, ...] = ()) -> Settings:
    """Read and check the TANDEM_ variables.

    Args:
        environ: usually os.environ.
        built_with: the models of the bento that the server runs from, which stand in for the zoo.

    Raises:
        SettingsInvalid: a value that cannot be followed.
    """
    models = tuple(name.strip() for name in environ.get("TANDEM_MODELS", "").split(",") if name.strip())
    models = models or built_with or tuple(folder.name for folder in zoo_folders())
    twice = sorted({name for name in models if models.count(name) > 1})
    if twice:
        raise SettingsInvalid(
            "TANDEM_MODELS", found=",".join(models), expected=f"each model once ({twice[0]} is there twice)"
        )
    if not models:
        raise SettingsInvalid("TANDEM_MODELS", found="", expected="names of models: there is no zoo here to stand in")
    cores = len(os.sched_getaffinity(0))
    return Settings(
        models=models,
        runtime=one_of(environ, "TANDEM_RUNTIME", ("auto", *RUNTIMES)),
        precision=one_of(environ, "TANDEM_PRECISION", ("auto", *PRECISIONS)),
        tolerance=read_tolerance(environ, "TANDEM_TOLERANCE"),
        device=one_of(environ, "TANDEM_DEVICE", DEVICES),
        threads=whole_number(environ, "TANDEM_THREADS", max((cores - 1) // len(models), 1), most=1024),
        max_queue_rows=whole_number(environ, "TANDEM_MAX_QUEUE_ROWS", 1024, most=1_000_000),
        max_wait_s=whole_number(environ, "TANDEM_MAX_WAIT_S", 30, most=3600),
        max_body_bytes=whole_number(environ, "TANDEM_MAX_BODY_MB", 16, most=1024) * 1024 * 1024,
    )


def one_of(environ: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    """One of `choices`; the first where nothing is said."""
    found = environ.get(variable) or choices[0]
    if found not in choices:
        raise SettingsInvalid(variable, found=found, expected=f"one of {', '.join(choices)}")
    return found


def read_tolerance(environ: Mapping[str, str], variable: str) -> Tolerance:
    """A number above 0, or `int8`; None where nothing is said."""
    found = environ.get(variable)
    if not found:
        return None
    if found == "int8":
        return "int8"
    try:
        number = float(found)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise SettingsInvalid(variable, found=found, expected="a number above 0, or int8")
    return number


def whole_number(environ: Mapping[str, str], variable: str, default: int, *, most: int) -> int:
    """A number from 1 to `most`."""
    found = environ.get(variable)
    if not found:
        return default
    try:
        number = int(found)
    except ValueError:
        number = 0
    if not 1 <= number <= most:
        raise SettingsInvalid(variable, found=found, expected=f"a whole number from 1 to {most}")
    return number
