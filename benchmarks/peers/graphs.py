"""A graph file behind ONNX Runtime or OpenVINO, set up by hand: batches in, arrays out, one or two at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

Feed = Mapping[str, Any]


class Graph(Protocol):
    """A loaded graph."""

    inputs: list[str]

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

    def run_all(self, batches: Sequence[Feed]) -> list[Any]:
        if self.streams == 1:
            return [self.session.run(None, batch)[0] for batch in batches]
        with ThreadPoolExecutor(self.streams) as pool:
            return list(pool.map(lambda batch: self.session.run(None, batch)[0], batches))


class OpenVinoGraph:
    """OpenVINO on the CPU: a stream is a share of the cores; requests are asynchronous, one a stream."""

    def __init__(self, path: str, *, streams: int, cores: int) -> None:
        import openvino as ov  # type: ignore[import-untyped,unused-ignore]

        settings = {"NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(cores), "PERFORMANCE_HINT": "THROUGHPUT"}
        self.model = ov.Core().compile_model(path, "CPU", settings)
        self.inputs: list[str] = [node.get_any_name() for node in self.model.inputs]
        self.streams = streams

    def run_all(self, batches: Sequence[Feed]) -> list[Any]:
        import openvino as ov  # type: ignore[import-untyped,unused-ignore]

        answers: list[Any] = [None] * len(batches)

        def keep(request: Any, number: int) -> None:
            answers[number] = request.get_output_tensor(0).data.copy()

        queue = ov.AsyncInferQueue(self.model, self.streams)
        queue.set_callback(keep)
        for number, batch in enumerate(batches):
            queue.start_async(dict(batch), number)
        queue.wait_all()
        return answers


def open_graph(runtime: str, path: str, *, streams: int, cores: int) -> Graph:
    if runtime == "onnx":
        return OnnxGraph(path, streams=streams, cores=cores)
    return OpenVinoGraph(path, streams=streams, cores=cores)
