"""GET /v2...: the server's health, and what its models take and give."""

from __future__ import annotations

import json
from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.door.access import may_see
from service.lanes.lane import Lane
from service.predict import find_lane
from service.protocols.v2.schemas import (
    ConfigValue,
    Live,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    Ready,
    ServerMetadata,
    Statistics,
)
from service.protocols.v2.signature import input_of, outputs_of
from service.serving import serving_of

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
#: What the protocol calls the runtimes.
PLATFORMS = {"onnx": "onnxruntime_onnx", "openvino": "openvino_ir", "torch": "pytorch_eager"}


def name_in_path(request: Request) -> str:
    """`name`, or `name:version` where the path names a version."""
    name, found = request.path_params["model"], request.path_params.get("version")
    return f"{name}:{found}" if found else str(name)


async def live(request: Request) -> Response:
    """The server is there."""
    return JSONResponse(Live(live=True).model_dump())


async def ready(request: Request) -> Response:
    """Whether every model answers; 503 where one does not."""
    is_ready = serving_of(request).ready
    return JSONResponse(Ready(ready=is_ready).model_dump(), status_code=200 if is_ready else 503)


async def server_metadata(request: Request) -> Response:
    """What this server is."""
    found = ServerMetadata(name="tandem", version=version("tandem-inference"), extensions=EXTENSIONS)
    return JSONResponse(found.model_dump())


async def model_metadata(request: Request) -> Response:
    """What a model takes and gives, and in which versions it is served."""
    lane = find_lane(request, name_in_path(request))
    name = lane.tag.partition(":")[0]
    tags = serving_of(request).models.versions(name)
    found = ModelMetadata(
        name=name,
        versions=[tag.partition(":")[2] for tag in tags],
        platform=platform_of(lane),
        inputs=[input_of(lane.spec).metadata()],
        outputs=[tensor.metadata() for tensor in outputs_of(lane.spec)],
    )
    return JSONResponse(found.model_dump())


async def model_ready(request: Request) -> Response:
    """Whether a model answers; 503 where it does not."""
    lane = find_lane(request, name_in_path(request))
    found = ModelReady(name=lane.tag.partition(":")[0], ready=lane.alive)
    return JSONResponse(found.model_dump(), status_code=200 if lane.alive else 503)


async def model_config(request: Request) -> Response:
    """What a model takes and gives, as Triton's configurations say it; its labels are among the parameters."""
    lane = find_lane(request, name_in_path(request))
    spec = lane.spec
    said = {"digest": lane.digest, "variant": lane.variant, "task": spec.task, "labels": json.dumps(spec.labels)}
    found = ModelConfig(
        name=lane.tag.partition(":")[0],
        platform=platform_of(lane),
        backend="tandem",
        input=[input_of(spec).config()],
        output=[tensor.config() for tensor in outputs_of(spec)],
        parameters={name: ConfigValue(string_value=value) for name, value in said.items()},
    )
    return JSONResponse(found.model_dump())


async def statistics(request: Request) -> Response:
    """What a model, or each that the caller may know of, has answered since it was loaded."""
    if "model" in request.path_params:
        lanes = [find_lane(request, name_in_path(request))]
    else:
        lanes = [lane for lane in serving_of(request).models if may_see(request, "predict", lane.tag)]
    found = [statistics_of(lane) for lane in lanes]
    return JSONResponse(Statistics(model_stats=found).model_dump())


def statistics_of(lane: Lane) -> ModelStatistics:
    name, _, version = lane.tag.partition(":")
    load = lane.load()
    return ModelStatistics(name=name, version=version, inference_count=load.rows, execution_count=load.micro_batches)


def platform_of(lane: Lane) -> str:
    runtime = lane.variant.partition("-")[0]
    return PLATFORMS.get(runtime, f"tandem_{runtime}")
