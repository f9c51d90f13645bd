"""Flops: how many floating-point operations a piece costs, counted from the shapes of the reference's own products.

Only products are counted, two operations for each multiply-add: matrix products, convolutions, attention and recurrent
cells. What else a network does (normalise, add, look up) is a few per cent of it and is counted by nobody
(https://docs.pytorch.org/docs/stable/generated/torch.utils.flop_counter.FlopCounterMode.html).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import VARIANTS
from models.costs import Costs
from models.spec import EDGE, ModelSpec
from models.variants import COSTS_FILE, REFERENCE

#: Operations of a piece as a function of its padded length: `[0] + [1] * length + [2] * length ** 2`.
Flops = tuple[float, float, float]
Shape = tuple[int, ...]

#: Counted at these lengths: three settle a quadratic, and the fourth must lie on it.
LENGTHS = (8, 16, 24, 40)
REFERENCE_COSTS = Path(VARIANTS) / REFERENCE / COSTS_FILE


def count_flops(graph: Path, spec: ModelSpec) -> Flops | None:
    """Count what one piece costs, by running the graph once for each of a few lengths and reading the shapes.

    It takes a run of four short rows, and neither torch nor onnx: ONNX Runtime writes down the shapes of every node.

    Returns:
        None where the graph does not run on plain inputs, or costs something else than a quadratic of the length.
    """
    try:
        counted = [count_row(graph, spec, length) for length in LENGTHS]
    except Exception:  # of whatever graph somebody brings; the count is a line of a report
        return None
    by_length = np.linalg.solve(np.vander(LENGTHS[:3], 3, increasing=True).astype(float), counted[:3])
    told = float(by_length @ np.power(float(LENGTHS[3]), range(3)))
    if not counted[-1] or abs(told - counted[-1]) > 0.01 * counted[-1]:
        return None
    constant, linear, square = (float(round(number)) for number in by_length)
    return constant, linear, square


def flops_of(flops: Flops, *, pieces: int, padded: int, squared: int) -> float:
    """Operations of many micro-batches at once.

    Args:
        flops: of one piece.
        pieces: how many went through.
        padded: sum of rows x length.
        squared: sum of rows x length x length.
    """
    return flops[0] * pieces + flops[1] * padded + flops[2] * squared


def record_flops(folder: Path, spec: ModelSpec) -> Flops | None:
    """Count an artifact's operations and write them beside its costs; `variants/` is outside the model's digest."""
    graph = folder / "model.onnx"
    flops = count_flops(graph, spec) if graph.is_file() else None
    if flops is not None:
        path = folder / REFERENCE_COSTS
        costs = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else Costs().to_json()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(costs | {"flops": list(flops)}) + "\n", encoding="utf-8")
        path.chmod(0o644)
    return flops


def read_flops(folder: Path | None) -> Flops | None:
    """What was recorded; None where nothing was, or it is no such record."""
    if folder is None:
        return None
    try:
        found = json.loads((folder / REFERENCE_COSTS).read_text(encoding="utf-8"))["flops"]
        constant, linear, square = (float(number) for number in found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return constant, linear, square


def count_row(graph: Path, spec: ModelSpec, length: int) -> int:
    """Operations of one row of that length, through the graph as it was written: nothing fused, nothing packed away."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="tandem-") as scratch:
        options.profile_file_prefix = str(Path(scratch) / "nodes")
        session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        session.run(None, {node.name: example(node, spec, length) for node in session.get_inputs()})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_bytes())
    return sum(
        node_flops(event["args"]["op_name"], shapes(event, "input"), shapes(event, "output"))
        for event in events
        if event["name"].endswith("_kernel_time")
    )


def example(node: Any, spec: ModelSpec, length: int) -> np.ndarray[Any, Any]:
    """One row of an input; ones, which every vocabulary and every mask has."""
    from models.runtimes.onnx_runtime import DTYPES

    dtype = DTYPES.get(node.type) or np.float32
    if len(node.shape) == 1:  # how long each row is
        return np.full(1, length, dtype)
    free = EDGE if spec.inputs[0].kind == "image" else length
    return np.ones([1, *(size if isinstance(size, int) else free for size in node.shape[1:])], dtype)


def shapes(event: Mapping[str, Any], side: str) -> list[Shape]:
    """The shapes that ONNX Runtime notes of a node, as `[{"float": [1, 16, 384]}, ...]`."""
    found: Sequence[Mapping[str, Sequence[int]]] = event["args"].get(f"{side}_type_shape", [])
    return [tuple(size for sizes in entry.values() for size in sizes) for entry in found]


def node_flops(operator: str, inputs: list[Shape], outputs: list[Shape]) -> int:
    """Operations of one node; 0 of one that multiplies no matrices."""
    count = PRODUCTS.get(operator)
    return 2 * count(inputs, outputs[0]) if count is not None else 0


def of_matmul(inputs: list[Shape], output: Shape) -> int:
    return math.prod(output) * inputs[0][-1]


def of_gemm(inputs: list[Shape], output: Shape) -> int:
    """Either factor may be transposed: the sum runs over what the first has beside the output's rows."""
    return math.prod(inputs[0]) * output[1]


def of_conv(inputs: list[Shape], output: Shape) -> int:
    """Weights are (out, in / groups, height, width)."""
    return math.prod(output) * math.prod(inputs[1][1:])


def of_conv_transpose(inputs: list[Shape], output: Shape) -> int:
    """Weights are (in, out / groups, height, width)."""
    return math.prod(inputs[0]) * math.prod(inputs[1][1:])


def of_recurrent(inputs: list[Shape], output: Shape) -> int:
    """Every step of every row meets all weights, of the input and of the state, in each direction."""
    steps, rows = inputs[0][:2]
    return steps * rows * (math.prod(inputs[1]) + math.prod(inputs[2]))


def of_attention(inputs: list[Shape], output: Shape) -> int:
    """Queries by keys, and weights by values: each as many products as an answer has numbers, for every key."""
    keys = inputs[1][-2]
    return (math.prod(inputs[0]) + math.prod(output)) * keys


PRODUCTS: Mapping[str, Callable[[list[Shape], Shape], int]] = {
    "MatMul": of_matmul,
    "Gemm": of_gemm,
    "Conv": of_conv,
    "ConvTranspose": of_conv_transpose,
    "LSTM": of_recurrent,
    "GRU": of_recurrent,
    "RNN": of_recurrent,
    "Attention": of_attention,
}
