"""What the environment tells the server: what every room reads of it, put together."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.choose import Tolerance
from models.locate import zoo_folders
from models.variants import PRECISIONS, RUNTIMES
from service.door.settings import DOOR, DoorSettings
from service.errors import SettingsInvalid
from service.isolated.settings import ISOLATION, IsolatedSettings
from service.jobs.settings import JOBS, JobsSettings
from service.lanes.settings import LANES, LaneSettings
from service.observe.settings import OBSERVE, ObserveSettings
from service.protocols.predict.settings import STREAMS, StreamSettings
from service.setting import Setting, names, one_of, whole_number
from service.supervise.settings import SUPERVISE, SuperviseSettings

DEVICES = ("auto", "cpu", "cuda", "tensorrt")


def read_tolerance(text: str) -> Tolerance:
    """A number above 0, or `int8`."""
    if text == "int8":
        return "int8"
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ValueError("a number above 0, or int8")
    return number


MODELS = Setting[tuple[str, ...]](
    variable="TANDEM_MODELS", flag="--models", read=names, default=(), metavar="NAME,NAME",
    help="Models to serve: store tags, artifact folders, s3:// prefixes, or package.module:Class. Default: the zoo.",
)  # fmt: skip
RUNTIME = Setting[str](
    variable="TANDEM_RUNTIME", flag="--runtime", read=one_of("auto", *RUNTIMES), default="auto", metavar="NAME",
    help="auto takes of each model the fastest registered variant within the tolerance.",
)  # fmt: skip
PRECISION = Setting[str](
    variable="TANDEM_PRECISION", flag="--precision", read=one_of("auto", *PRECISIONS), default="auto", metavar="NAME",
    help="fp32, bf16, fp16, int8 or auto.",
)  # fmt: skip
TOLERANCE = Setting[Tolerance](
    variable="TANDEM_TOLERANCE", flag="--tolerance", read=read_tolerance, default=None, metavar="NUMBER|int8",
    help="Largest difference from the reference's answers that auto takes. Default: the model's own.",
)  # fmt: skip
DEVICE = Setting[str](
    variable="TANDEM_DEVICE", flag="--device", read=one_of(*DEVICES), default="auto", metavar="NAME",
    help="auto, cpu, cuda or tensorrt.",
)  # fmt: skip
THREADS = Setting[int](
    variable="TANDEM_THREADS", flag="--threads", read=whole_number(1, 1024), default=0, metavar="N",
    help="Threads of the arithmetic of one model. Default: the cores but one, shared out among the models.",
)  # fmt: skip
SERVER = (MODELS, RUNTIME, PRECISION, TOLERANCE, DEVICE, THREADS)
#: Every setting of every room, for the flags of `tandem serve`.
ALL_SETTINGS: tuple[Setting[Any], ...] = (*SERVER, *LANES, *DOOR, *OBSERVE, *JOBS, *STREAMS, *ISOLATION, *SUPERVISE)


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
        lanes: how requests wait and are put together.
        door: who may come in, and with how much.
        observe: what the server says of itself.
        streams: of JSON lines.
        jobs: how they are kept, and what they get of the machine.
        isolated: whether models have processes of their own.
        supervise: how the server's processes end.
    """

    models: tuple[str, ...]
    runtime: str
    precision: str
    tolerance: Tolerance
    device: str
    threads: int
    lanes: LaneSettings = field(default_factory=LaneSettings)
    door: DoorSettings = field(default_factory=DoorSettings)
    observe: ObserveSettings = field(default_factory=ObserveSettings)
    jobs: JobsSettings = field(default_factory=lambda: JobsSettings.read({}))
    streams: StreamSettings = field(default_factory=StreamSettings)
    isolated: IsolatedSettings = field(default_factory=IsolatedSettings)
    supervise: SuperviseSettings = field(default_factory=SuperviseSettings)


def read_settings(environ: Mapping[str, str], *, built_with: tuple[str, ...] = ()) -> Settings:
    """Read and check the TANDEM_ variables.

    Args:
        environ: usually os.environ.
        built_with: the models of the bento that the server runs from, which stand in for the zoo.

    Raises:
        SettingsInvalid: a value that cannot be followed.
    """
    models = MODELS.of(environ) or built_with or tuple(folder.name for folder in zoo_folders())
    twice = sorted({name for name in models if models.count(name) > 1})
    if twice:
        raise SettingsInvalid(
            "TANDEM_MODELS (--models)",
            found=",".join(models),
            expected=f"each model once ({twice[0]} is there twice)",
        )
    if not models:
        raise SettingsInvalid(
            "TANDEM_MODELS (--models)", found="", expected="names of models: there is no zoo here to stand in"
        )
    cores = len(os.sched_getaffinity(0))
    return Settings(
        models=models,
        runtime=RUNTIME.of(environ),
        precision=PRECISION.of(environ),
        tolerance=TOLERANCE.of(environ),
        device=DEVICE.of(environ),
        threads=THREADS.of(environ) or max((cores - 1) // len(models), 1),
        lanes=LaneSettings.read(environ),
        door=DoorSettings.read(environ),
        observe=ObserveSettings.read(environ),
        streams=StreamSettings.read(environ),
        jobs=JobsSettings.read(environ),
        isolated=IsolatedSettings.read(environ),
        supervise=SuperviseSettings.read(environ),
    )
