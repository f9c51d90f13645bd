"""The body of an inference request -> its JSON, and each input as an array.

Two forms: JSON alone, with the data in it; or, where the header Inference-Header-Content-Length says how long the JSON
is, JSON followed by the bytes of the inputs one after the other, each as many as its `binary_data_size` says.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from models.values import describe
from service.errors import RequestInvalid
from service.json_bodies import read_json
from service.protocols.v2.datatypes import BYTES, NUMPY
from service.protocols.v2.schemas import InferRequest, InputTensor
from service.refusals import wrong_shape

LENGTH_HEADER = "Inference-Header-Content-Length"
#: How deep data may be nested: one list for each dimension, and no more.
MOST_DIMENSIONS = 8
#: What JSON has for the kinds of numbers that there are.
TAKES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float, type(None)}}


def read_request(body: bytes, header_length: str | None) -> tuple[InferRequest, memoryview]:
    """The JSON of a request, and the bytes behind it.

    Args:
        body: unpacked.
        header_length: what the header says of the JSON's length; None where there is none.

    Raises:
        RequestInvalid: the header does not fit the body, or the JSON is none, or not of the request's shape.
    """
    view = memoryview(body)
    length = len(body)
    if header_length is not None:
        if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 12:
            raise RequestInvalid(f"{LENGTH_HEADER}: expected a number of bytes, found {header_length[:40]!r}.")
        length = int(header_length)
        if length > len(body):
            raise RequestInvalid(f"{LENGTH_HEADER}: says {length} bytes of JSON, the body has {len(body)} in all.")
    try:
        return InferRequest.model_validate(read_json(bytes(view[:length]))), view[length:]
    except RecursionError:
        raise RequestInvalid("body: nested too deeply.") from None
    except (ValidationError, ValueError) as error:
        raise wrong_shape(error) from None


def read_inputs(request: InferRequest, binary: memoryview) -> dict[str, NDArray[Any]]:
    """Name -> array of the input's shape; of BYTES an array of objects: bytes, or what JSON has (text, null).

    Raises:
        RequestInvalid: names the input, and what does not fit.
    """
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for tensor in request.inputs:
        where = f"inputs.{tensor.name[:100]}"
        if tensor.name in arrays:
            raise RequestInvalid(f"{where}: is there twice.")
        if tensor.parameters.shared_memory_region is not None:
            raise RequestInvalid(f"{where}: shared memory is not answered here; send the data.")
        size = tensor.parameters.binary_data_size
        if size is None:
            arrays[tensor.name] = read_data(tensor, where)
            continue
        if tensor.data is not None:
            raise RequestInvalid(f"{where}: has both data and binary_data_size; send one of them.")
        if size > len(binary) - at:
            raise RequestInvalid(
                f"{where}: binary_data_size says {size} bytes, {len(binary) - at} are left behind the JSON "
                f"({LENGTH_HEADER} says how long that is)."
            )
        arrays[tensor.name] = read_binary(tensor, binary[at : at + size], where)
        at += size
    if at != len(binary):
        raise RequestInvalid(f"body: {len(binary) - at} bytes behind the JSON belong to no input.")
    return arrays


def count_elements(tensor: InputTensor) -> int:
    return math.prod(tensor.shape)


def read_binary(tensor: InputTensor, data: memoryview, where: str) -> NDArray[Any]:
    """An input out of its bytes: numbers little-endian; BYTES each behind its length in four bytes."""
    count = count_elements(tensor)
    if tensor.datatype == BYTES:
        return objects(read_byte_strings(data, count, where), tensor.shape)
    dtype = NUMPY[tensor.datatype]
    if len(data) != count * dtype.itemsize:
        raise RequestInvalid(
            f"{where}: {tensor.datatype} of shape {tensor.shape} takes {count * dtype.itemsize} bytes, "
            f"binary_data_size says {len(data)}."
        )
    return np.frombuffer(data, dtype).reshape(tensor.shape)


def read_byte_strings(data: memoryview, count: int, where: str) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise RequestInvalid(f"{where}: ends within the length of its element {len(found)}.")
        (size,) = struct.unpack_from("<I", data, at)
        if size > len(data) - at - 4:
            raise RequestInvalid(
                f"{where}: element {len(found)} says {size} bytes, {len(data) - at - 4} are left of the input."
            )
        found.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
        if len(found) > count:
            break
    if len(found) != count:
        more = "more" if len(found) > count else len(found)
        raise RequestInvalid(f"{where}: its shape says {count} elements, its bytes hold {more}.")
    return found


def read_data(tensor: InputTensor, where: str) -> NDArray[Any]:
    """An input out of `data`, flat or nested as its shape."""
    if tensor.data is None:
        raise RequestInvalid(f"{where}: has neither data nor binary_data_size.")
    count = count_elements(tensor)
    elements = flatten(tensor.data, where)
    if len(elements) != count:
        raise RequestInvalid(
            f"{where}: its shape {tensor.shape} says {count} elements, its data holds {len(elements)}."
        )
    if tensor.datatype == BYTES:
        return objects(elements, tensor.shape)
    return read_numbers(elements, tensor.datatype, where).reshape(tensor.shape)


def read_numbers(elements: list[Any], datatype: str, where: str) -> NDArray[Any]:
    """JSON numbers as the datatype says; null is no number of floats: NaN."""
    dtype = NUMPY[datatype]
    takes, found = TAKES[dtype.kind], set(map(type, elements))
    if not found <= takes:
        position, element = next((at, one) for at, one in enumerate(elements) if type(one) not in takes)
        raise RequestInvalid(f"{where}: element {position} is no {datatype}: {describe(element)}.")
    try:
        with np.errstate(over="ignore"):  # a number beyond the datatype is infinite, and its row at fault
            if type(None) in found:
                elements = [float("nan") if element is None else element for element in elements]
            return np.asarray(elements, dtype=dtype)
    except (OverflowError, ValueError):
        raise RequestInvalid(f"{where}: a number is beyond what {datatype} holds.") from None


def flatten(data: list[Any], where: str) -> list[Any]:
    """The elements of nested lists, in order."""
    for _ in range(MOST_DIMENSIONS):
        if not any(isinstance(one, list) for one in data):
            return data
        if not all(isinstance(one, list) for one in data):
            raise RequestInvalid(f"{where}: data has lists beside elements; expected one list, or lists as the shape.")
        data = [element for part in data for element in part]
    raise RequestInvalid(f"{where}: data is nested too deeply.")


def objects(elements: list[Any], shape: list[int]) -> NDArray[Any]:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)
