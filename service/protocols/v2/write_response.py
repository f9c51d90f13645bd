"""Output arrays -> the body of an inference response: JSON, or JSON and the outputs' bytes behind it."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

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


def write_response(answer: InferResponse, binary: bytes | None, *, packed: str) -> Response:
    """The response: `binary` is what stands behind the JSON, None where nothing was asked for as bytes.

    `packed` is what Accept-Encoding asks for, which is done where it names one way only: HTTP libraries list all that
    they know of their own accord, and packing numbers costs more than it saves.
    """
    body = answer.model_dump_json(exclude_none=True).encode()
    headers: dict[str, str] = {}
    if binary is not None:
        headers[LENGTH_HEADER] = str(len(body))
        body += binary
    if packed in WINDOW_BITS and len(body) >= LEAST_PACKED_BYTES:
        packer = zlib.compressobj(level=1, wbits=WINDOW_BITS[packed])
        body = packer.compress(body) + packer.flush()
        headers |= {"Content-Encoding": packed, "Vary": "Accept-Encoding"}
    media = "application/json" if binary is None else "application/octet-stream"
    return Response(body, media_type=media, headers=headers)
