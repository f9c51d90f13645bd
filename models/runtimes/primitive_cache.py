"""Primitive cache: the one of oneDNN within OpenVINO, turned off, since two streams that share it answer wrongly.

What oneDNN compiles for a shape is kept for the whole process, and a second stream, or a second graph, that needs the
same is given the first one's. Where two need it for the first time at the same moment, one of them may answer every row
of that shape wrongly for as long as it lives, without a word (OpenVINO 2026.4, oneDNN 3.13, with AVX-512): of MiniLM's
first calls of a shape, made by two streams at once, 8 in 1,280 came to that, with two graphs of one stream each 4; with
the cache off none in 2,900. Each stream has a cache of its own beside it, so that this costs some 6 % of a first call.
"""

from __future__ import annotations

import os
import threading

import numpy as np

#: Read by oneDNN once, when it makes its first primitive; torch has a copy of oneDNN of its own, which keeps its cache.
VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"

_TURN = threading.Lock()
_is_off = False


def turn_off_primitive_cache() -> None:
    """Have OpenVINO make its first primitive in this process while the environment says that none is to be kept."""
    global _is_off
    with _TURN:
        if _is_off:
            return
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = "0"
        try:
            _make_primitive()
        finally:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before
        _is_off = True


def _make_primitive() -> None:
    """Run the smallest graph that has one: a convolution."""
    import openvino as ov
    from openvino import opset13

    image = opset13.parameter([1, 1, 4, 4], np.float32)
    kernel = opset13.constant(np.ones((1, 1, 3, 3), np.float32))
    graph = ov.Model([opset13.convolution(image, kernel, [1, 1], [0, 0], [0, 0], [1, 1])], [image])
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    ov.Core().compile_model(graph, "CPU", settings)([np.ones((1, 1, 4, 4), np.float32)])
