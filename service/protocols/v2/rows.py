"""Input tensor -> the values of rows; answers of rows -> output tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.model import RowFault
from models.spec import ModelSpec
from service.errors import RequestInvalid
from service.protocols.v2.datatypes import BYTES
from service.protocols.v2.signature import TensorSpec, input_of
from service.schemas import Answer, read_rows

Rows = tuple[list[Any], dict[int, RowFault]]


def read_values(spec: ModelSpec, inputs: dict[str, NDArray[Any]]) -> Rows:
    """The values of the rows that are good so far, in order, and the faults of the others by their position.

    Texts are BYTES of shape [rows] or [rows, 1]. Images are BYTES too (a file's bytes; in JSON base64 of them), or
    numbers of shape [rows, height, width] or [rows, height, width, channels] (or channels first). Sequences are
    numbers of shape [rows, steps, channels]; of one channel also [rows, steps].

    Raises:
        RequestInvalid: another input than the model's, or of another shape.
    """
    wanted = input_of(spec)
    if (array := inputs.get(wanted.name)) is None:
        raise RequestInvalid(
            f"inputs: the model takes {wanted.name!r} ({wanted.datatype}, {list(wanted.shape)}), "
            f"found {', '.join(repr(name[:60]) for name in list(inputs)[:5])}."
        )
    if len(inputs) > 1:
        raise RequestInvalid(f"inputs: the model takes {wanted.name!r} only, found {len(inputs)} inputs.")
    kind = spec.inputs[0].kind
    where = f"inputs.{wanted.name}"
    if array.dtype != object:
        dimensions = {"image": (3, 4), "sequence": (2, 3)}.get(kind)
        if dimensions is None:
            raise RequestInvalid(f"{where}: the model takes texts, which are BYTES; found numbers.")
        if array.ndim not in dimensions or array.dtype.kind == "b":
            shape = "[rows, steps, channels]" if kind == "sequence" else "[rows, height, width, channels]"
            raise RequestInvalid(f"{where}: expected numbers of shape {shape}, found shape {list(array.shape)}.")
        return list(array), {}
    if kind == "sequence":
        raise RequestInvalid(f"{where}: the model takes numbers of shape [rows, steps, channels], found BYTES.")
    if array.shape[1:] not in ((), (1,)):
        raise RequestInvalid(f"{where}: expected shape [rows] or [rows, 1], found {list(array.shape)}.")
    elements = array.reshape(-1).tolist()
    return read_texts(elements) if kind == "text" else read_rows(spec.inputs[0], elements)


def read_texts(elements: Sequence[Any]) -> Rows:
    """Bytes as UTF-8; what JSON has as it is."""
    values: list[Any] = []
    faults: dict[int, RowFault] = {}
    for position, element in enumerate(elements):
        if not isinstance(element, bytes):
            values.append(element)
            continue
        try:
            values.append(element.decode())
        except UnicodeDecodeError as error:
            faults[position] = RowFault(
                kind="WrongType", message=f"expected text in UTF-8, found other bytes at {error.start}"
            )
    return values, faults


def output_array(tensor: TensorSpec, spec: ModelSpec, answers: Sequence[Answer]) -> NDArray[Any]:
    """One output of all rows. A row at fault has NaN for numbers, empty BYTES and false; `error` says why."""
    rows, width = len(answers), tensor.shape[1] if len(tensor.shape) > 1 else None
    shape = (rows,) if width is None else (rows, width)
    if tensor.datatype == "BOOL":
        return np.asarray([bool(answer.get(tensor.name, False)) for answer in answers], np.bool_)
    if tensor.datatype == BYTES:
        cells = [cell for answer in answers for cell in texts_of(tensor.name, answer, width or 1)]
        array = np.empty(len(cells), dtype=object)
        array[:] = cells
        return array.reshape(shape)
    numbers = np.full(shape, np.nan, dtype=np.float32)
    for row, answer in enumerate(answers):
        if "error" not in answer:
            numbers[row] = numbers_of(tensor.name, answer, spec)
    return numbers


def texts_of(name: str, answer: Answer, width: int) -> list[bytes]:
    if name == "error":
        error = answer.get("error")
        return [f"{error['class']}: {error['message']}".encode() if error else b""]
    if "error" in answer:
        return [b""] * width
    if name == "top_labels":
        return [label.encode() for label in answer["scores"]]
    value = answer[name]
    return [(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()]


def numbers_of(name: str, answer: Answer, spec: ModelSpec) -> Any:
    if name == "scores":
        return [answer["scores"][label] for label in spec.labels]
    if name == "top_scores":
        return list(answer["scores"].values())
    return answer[name]
