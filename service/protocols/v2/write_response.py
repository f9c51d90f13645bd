"""Output arrays -> the body of an inference response: JSON, or JSON and the outputs' bytes behind it."""

from __future__ import annotations

import asyncio
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from service.json_bodies import PiecesResponse, write_object
from service.protocols.v2.datatypes import BYTES, NUMPY
from service.protocols.v2.read_request import LENGTH_HEADER
from service.protocols.v2.schemas import InferResponse, OutputParameters, OutputTensor
from service.protocols.v2.signature import TensorSpec

#: Smaller bodies are not packed: it would not pay.
LEAST_PACKED_BYTES = 1024
WINDOW_BITS = {"gzip": 31, "deflate": 15}


def make_output(tensor: TensorSpec, array: NDArray[Any], *, binary: bool) -> tuple[OutputTensor, bytes]:
    """An output, and its bytes where it is to come as such."""
    described = OutputTensor(name=tensor.name, datatype=tensor.datatype, shape=list(array.shape))
    if not binary:
        described.data = [cell.decode() for cell in array.ravel()] if tensor.datatype == BYTES else to_json(array)
        return described, b""
    if tensor.datatype == BYTES:
        data = b"".join(struct.pack("<I", len(cell)) + cell for cell in array.ravel())
    else:
        data = np.ascontiguousarray(array, NUMPY[tensor.datatype]).tobytes()
    described.parameters = OutputParameters(binary_data_size=len(data))
    return described, data


def to_json(array: NDArray[Any]) -> list[Any]:
    """Numbers in one list; what is no number is null, for JSON knows no NaN."""
    flat = array.ravel()
    if array.dtype.kind != "f" or np.isfinite(flat).all():
        return list(flat.tolist())
    return [number if finite else None for number, finite in zip(flat.tolist(), np.isfinite(flat), strict=True)]


async def write_response(answer: InferResponse, binary: bytes | None, *, packed: str) -> Response:
    """The response: `binary` is what stands behind the JSON, None where nothing was asked for as bytes.

    `packed` is what Accept-Encoding asks for, which is done where it names one way only: HTTP libraries list all that
    they know of their own accord, and packing numbers costs more than it saves.
    """
    said = answer.model_dump(exclude_none=True, exclude={"outputs": {"__all__": {"data"}}})
    for described, output in zip(said["outputs"], answer.outputs, strict=True):
        if output.data is not None:
            described["data"] = output.data
    pieces = await write_object(said)
    headers: dict[str, str] = {}
    if binary is not None:
        headers[LENGTH_HEADER] = str(sum(map(len, pieces)))
        pieces.append(binary)
    if packed in WINDOW_BITS and sum(map(len, pieces)) >= LEAST_PACKED_BYTES:
        pieces = [await asyncio.to_thread(pack, pieces, WINDOW_BITS[packed])]
        headers |= {"Content-Encoding": packed, "Vary": "Accept-Encoding"}
    media = "application/json" if binary is None else "application/octet-stream"
    return PiecesResponse(pieces, media_type=media, headers=headers)


def pack(pieces: list[bytes], window_bits: int) -> bytes:
    """Pieces one behind the other, packed; blocks, and lets others run meanwhile."""
    packer = zlib.compressobj(level=1, wbits=window_bits)
    return b"".join([*map(packer.compress, pieces), packer.flush()])
