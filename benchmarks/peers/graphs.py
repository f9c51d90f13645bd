"""A graph file behind ONNX Runtime or OpenVINO, set up by hand: batches in, arrays out, one or two at a time."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

Feed = Mapping[str, Any]


class Graph(Protocol):
    """A loaded graph."""

    inputs: list[str]
    streams: int

    def run(self, batch: Feed) -> Any:
        """The first output; as many threads as there are streams may call at once."""

    def run_all(self, batches: Sequence[Feed]) -> list[Any]:
        """The first output of each batch, in the order given."""


class OnnxGraph:
    """ONNX Runtime: one session; with several streams each has a calling thread and cores / streams threads."""

    def __init__(self, path: str, *, streams: int, cores: int) -> None:
        import onnxruntime as ort

        ort.set_default_logger_severity(3)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = max(cores // streams, 1)
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs: list[str] = [node.name for node in self.session.get_inputs()]
        self.streams = streams

    def run(self, batch: Feed) -> Any:
        return self.session.run(None, batch)[0]

    def run_all(self, batches: Sequence[Feed]) -> list[Any]:
        if self.streams == 1:
            return [self.run(batch) for batch in batches]
        with ThreadPoolExecutor(self.streams) as pool:
            return list(pool.map(self.run, batches))


class OpenVinoGraph:
    """OpenVINO on the CPU: a stream is a share of the cores; a request for each is in flight."""

    def __init__(self, path: str, *, streams: int, cores: int) -> None:
        import openvino as ov  # type: ignore[import-untyped,unused-ignore]

        # Without the hint OpenVINO computes in bf16 where the processor can, and fp32 answers differ by 1e-2.
        settings = {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(cores), "INFERENCE_PRECISION_HINT": "f32"}
        self.model = ov.Core().compile_model(path, "CPU", settings)
        self.inputs: list[str] = [node.get_any_name() for node in self.model.inputs]
        self.streams = streams
        self.requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            self.requests.put(self.model.create_infer_request())

    def run(self, batch: Feed) -> Any:
        """A request of its own for as long as it takes; it computes outside the GIL.

        Not `start_async` and `wait`: with requests that start so from two threads the process was seen to wait for ever
        with the GIL held, once in some 80,000 calls, and likewise with an AsyncInferQueue (OpenVINO 2026.4).
        """
        request = self.requests.get()
        try:
            request.infer(dict(batch), share_inputs=True)
            return request.get_output_tensor(0).data.copy()
        finally:
            self.requests.put(request)

    def run_all(self, batches: Sequence[Feed]) -> list[Any]:
        with ThreadPoolExecutor(self.streams) as pool:
            return list(pool.map(self.run, batches))


def open_graph(runtime: str, path: str, *, streams: int, cores: int) -> Graph:
    if runtime == "onnx":
        return OnnxGraph(path, streams=streams, cores=cores)
    return OpenVinoGraph(path, streams=streams, cores=cores)
