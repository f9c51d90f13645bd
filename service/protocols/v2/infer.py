"""POST /v2/models/{model}/infer: tensors in, tensors out, over the same lanes as every other request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from models.spec import ModelSpec
from service.aside import aside
from service.errors import RequestInvalid
from service.json_bodies import LARGE_BYTES, PIECE_VALUES, count_values
from service.lanes.lane import Lane
from service.lanes.request import Priority
from service.predict import find_lane, predict_values
from service.protocols.v2.models import name_in_path
from service.protocols.v2.read_request import LENGTH_HEADER, read_inputs, read_request
from service.protocols.v2.rows import Rows, output_array, read_values
from service.protocols.v2.schemas import AnswerParameters, InferRequest, InferResponse, OutputTensor
from service.protocols.v2.signature import TensorSpec, outputs_of
from service.protocols.v2.write_response import make_output, write_response
from service.schemas import Answer


async def infer(request: Request) -> Response:
    """Answer each row; one at fault has NaN and empty strings for its answer, and says why in the output `error`."""
    body = await request.body()  # first: until it has come, the name may mean another version
    lane = find_lane(request, name_in_path(request))
    asked, binary = read_request(body, request.headers.get(LENGTH_HEADER))
    if asked.parameters.sequence_id not in (None, 0, ""):
        raise RequestInvalid("parameters.sequence_id: no model here keeps a state between requests; send none.")
    outputs = choose_outputs(asked, outputs_of(lane.spec))
    values, faults = await aside(len(body) > LARGE_BYTES, read_tensors, lane, asked, binary)
    found = await predict_values(
        request, lane, values, faults, priority=priority_of(asked), timeout_s=timeout_s_of(asked)
    )
    made = await aside(count_values(found.answers) > PIECE_VALUES, make_outputs, outputs, lane.spec, found.answers)
    name, _, version = lane.tag.partition(":")
    answer = InferResponse(
        model_name=name,
        model_version=version,
        id=asked.id,
        parameters=AnswerParameters(digest=lane.digest, variant=lane.variant),
        outputs=[described for described, _ in made],
    )
    behind = b"".join(data for _, data in made) if any(as_bytes for _, as_bytes in outputs) else None
    return await write_response(answer, behind, packed=request.headers.get("Accept-Encoding", "").strip().lower())


def read_tensors(lane: Lane, asked: InferRequest, binary: memoryview) -> Rows:
    """The rows of a request."""
    inputs = read_inputs(asked, binary)
    lane.check_rows(max(len(array) for array in inputs.values()))  # a billion rows of no steps take no bytes
    return read_values(lane.spec, inputs)


def make_outputs(
    outputs: list[tuple[TensorSpec, bool]], spec: ModelSpec, answers: list[Answer]
) -> list[tuple[OutputTensor, bytes]]:
    """The outputs that are asked for."""
    return [make_output(tensor, output_array(tensor, spec, answers), binary=as_bytes) for tensor, as_bytes in outputs]


def priority_of(asked: InferRequest) -> Priority | None:
    """0 and 1, Triton's highest, are interactive; everything below that is background."""
    said = asked.parameters.priority
    return None if said is None else ("interactive" if said <= 1 else "background")


def timeout_s_of(asked: InferRequest) -> float | None:
    said = asked.parameters.timeout
    return None if said is None else said / 1e6


def choose_outputs(asked: InferRequest, known: tuple[TensorSpec, ...]) -> list[tuple[TensorSpec, bool]]:
    """The outputs that are asked for, all where none is named, and whether each shall come as bytes.

    Raises:
        RequestInvalid: an output that the model does not have, or a way to give it that there is not.
    """
    as_bytes = bool(asked.parameters.binary_data_output)
    if not asked.outputs:
        return [(tensor, as_bytes) for tensor in known]
    by_name = {tensor.name: tensor for tensor in known}
    chosen: dict[str, tuple[TensorSpec, bool]] = {}
    for output in asked.outputs:
        where = f"outputs.{output.name[:100]}"
        if output.name not in by_name:
            raise RequestInvalid(f"{where}: the model has no such output; it has {', '.join(by_name)}.")
        if output.parameters.shared_memory_region is not None or output.parameters.classification:
            raise RequestInvalid(f"{where}: shared memory and classification are not answered here; take the scores.")
        own = output.parameters.binary_data
        chosen[output.name] = by_name[output.name], as_bytes if own is None else own
    return list(chosen.values())
