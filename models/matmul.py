"""Matmul: how fast this host multiplies matrices, beside which a model's arithmetic is judged.

ONNX Runtime's own product is the ceiling: on the processors tried it is what reaches most, about twice of what numpy's
library does where that does not know the processor's widest registers.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from models.host import recall, remember

#: Rows and columns of the square matrices: large enough for the rate to be flat, small enough for the cache.
SIZE = 1024
#: Products tried, after one that is not counted; the fastest counts, for other processes only make them slower.
PRODUCTS, SECONDS = 12, 0.15

FLOAT, FREE_AXES, MAIN_DOMAIN = 1, 2, b""
IR_VERSION, OPSET = 8, 13


def matmul_rate(threads: int) -> float:
    """Best rate of single-precision products of 1024 x 1024 with so many threads, in GFLOP/s.

    Measured now, in about 0.2 s, and remembered for this host. What an earlier measurement reached counts where it is
    more: other programs only ever make it less.
    """
    found = max(measure_rate(threads), known_rate(threads) or 0.0)
    remember("matmul", str(threads), {"gflop_per_s": round(found, 2)})
    return found


def known_rate(threads: int) -> float | None:
    """What was measured on this host before; None where nothing was. Costs reading one small file."""
    content = recall("matmul", str(threads))
    try:
        return float(content["gflop_per_s"])
    except (TypeError, KeyError, ValueError):
        return None


def measure_rate(threads: int) -> float:
    """Multiply now."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(product_graph(), options, providers=["CPUExecutionProvider"])
    numbers: Any = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    best, deadline = float("inf"), time.perf_counter() + SECONDS
    session.run(None, {"a": numbers, "b": numbers})
    for _ in range(PRODUCTS):
        started = time.perf_counter()
        session.run(None, {"a": numbers, "b": numbers})
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended > deadline:
            break
    return 2 * SIZE**3 / best / 1e9


def product_graph() -> bytes:
    """`c = a @ b` as an ONNX file.

    Written by hand: the package that writes such files is not part of a lean install. The numbers of the fields are in
    https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
    """
    node = field(1, b"a") + field(1, b"b") + field(2, b"c") + field(4, b"MatMul")
    values = field(11, matrix(b"a")) + field(11, matrix(b"b")) + field(12, matrix(b"c"))
    graph = field(1, node) + field(2, b"product") + values
    opset = field(1, MAIN_DOMAIN) + field(2, OPSET)
    return field(1, IR_VERSION) + field(7, graph) + field(8, opset)


def matrix(name: bytes) -> bytes:
    """A ValueInfo: float32 with two free axes."""
    shape = b"".join(field(1, field(2, name + bytes([axis]))) for axis in b"xy"[:FREE_AXES])
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field: a whole number below 128, or bytes below 16,384 of them."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content
