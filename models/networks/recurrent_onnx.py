"""The recurrent network as an ONNX graph, built from its weights.

Neither of torch's exporters takes a packed sequence, but ONNX's own LSTM, GRU and RNN take `sequence_lens`. They differ
from torch's in the order of the gates, in adding both biases as one array, and in having time first
(https://onnx.ai/onnx/operators/onnx__LSTM.html, https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.networks.recurrent_config import GATES, RecurrentConfig, check_weights

#: Fixed, so that the file does not depend on the version of onnx that wrote it.
OPSET, IR_VERSION = 18, 9

#: ONNX's gates as positions in torch's: i,f,g,o becomes i,o,f,c; r,z,n becomes z,r,h.
GATE_ORDER: Mapping[str, tuple[int, ...]] = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def write_recurrent_onnx(config: RecurrentConfig, weights: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Write the network as ONNX; equal weights give equal bytes.

    The graph takes `inputs`, (rows, length, input_size) float32 or (rows, length) int64, and `lengths`, (rows,) int64
    from 1 to length; it returns `logits`, (rows, labels). Rows and length are free. Arithmetic is float32.

    Raises:
        SpecInvalid: the weights are not those of the configuration.
    """
    check_weights(config, {name: tuple(weight.shape) for name, weight in weights.items()}, where="the weights")
    graph = _Graph({name: np.ascontiguousarray(weight, dtype=np.float32) for name, weight in weights.items()})
    steps = _add_steps(graph, config)
    graph.add("Cast", ["lengths"], ["lengths_int32"], to=TensorProto.INT32)
    state = ""
    for layer in range(config.num_layers):
        steps, state = _add_layer(graph, config, layer, steps)
    read = _add_readout(graph, config, steps, state)
    graph.add("Gemm", [read, graph.weight("head.weight"), graph.weight("head.bias")], ["logits"], transB=1)
    model = helper.make_model(
        helper.make_graph(graph.nodes, "recurrent", _inputs(config), _outputs(config), graph.constants),
        producer_name="tandem",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> str:
        """Add a node, named after its first output; returns the last."""
        name = next(filter(None, outputs))
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs[-1]

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])


def _inputs(config: RecurrentConfig) -> list[onnx.ValueInfoProto]:
    if config.vocab_size is None:
        inputs = helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["rows", "length", config.input_size])
    else:
        inputs = helper.make_tensor_value_info("inputs", TensorProto.INT64, ["rows", "length"])
    return [inputs, helper.make_tensor_value_info("lengths", TensorProto.INT64, ["rows"])]


def _outputs(config: RecurrentConfig) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(config.labels)])]


def _add_steps(graph: _Graph, config: RecurrentConfig) -> str:
    """The inputs with time first, (length, rows, input_size); token ids become their embeddings."""
    if config.vocab_size is None:
        return graph.add("Transpose", ["inputs"], ["steps"], perm=[1, 0, 2])
    ids = graph.add("Transpose", ["inputs"], ["ids"], perm=[1, 0])
    return graph.add("Gather", [graph.weight("embedding.weight"), ids], ["steps"], axis=0)


def _add_layer(graph: _Graph, config: RecurrentConfig, layer: int, steps: str) -> tuple[str, str]:
    """A layer's outputs (length, rows, directions x hidden_size) and final states (directions, rows, hidden_size)."""
    attributes: dict[str, Any] = {"hidden_size": config.hidden_size}
    attributes["direction"] = "bidirectional" if config.bidirectional else "forward"
    if config.cell == "gru":
        attributes["linear_before_reset"] = 1
    if config.cell == "rnn":
        attributes["activations"] = [config.nonlinearity.capitalize()] * config.directions
    state = graph.add(
        config.cell.upper(),
        [
            steps,
            graph.constant(f"W{layer}", _in_onnx_order(graph, config, layer, ["weight_ih"])),
            graph.constant(f"R{layer}", _in_onnx_order(graph, config, layer, ["weight_hh"])),
            graph.constant(f"B{layer}", _in_onnx_order(graph, config, layer, ["bias_ih", "bias_hh"])),
            "lengths_int32",
        ],
        [f"outputs{layer}", f"state{layer}"],
        **attributes,
    )
    by_row = graph.add("Transpose", [f"outputs{layer}"], [f"by_row{layer}"], perm=[0, 2, 1, 3])
    shape = graph.constant(f"joined_shape{layer}", np.array([0, 0, config.directions * config.hidden_size]))
    return graph.add("Reshape", [by_row, shape], [f"steps{layer}"]), state


def _in_onnx_order(graph: _Graph, config: RecurrentConfig, layer: int, names: Sequence[str]) -> NDArray[np.float32]:
    """One layer's arrays with ONNX's gates, joined, the directions as first axis."""
    directions = []
    for suffix in ("", "_reverse")[: config.directions]:
        arrays = [graph.weights[f"rnn.{name}_l{layer}{suffix}"] for name in names]
        gates = [np.split(array, GATES[config.cell]) for array in arrays]
        directions.append(np.concatenate([gate[i] for gate in gates for i in GATE_ORDER[config.cell]]))
    return np.stack(directions)


def _add_readout(graph: _Graph, config: RecurrentConfig, steps: str, state: str) -> str:
    """(rows, directions x hidden_size): the final states, or the mean or maximum over each row's own steps."""
    if config.readout == "last":
        by_row = graph.add("Transpose", [state], ["states_by_row"], perm=[1, 0, 2])
        shape = graph.constant("read_shape", np.array([0, config.directions * config.hidden_size]))
        return graph.add("Reshape", [by_row, shape], ["read"])
    inside = _add_mask(graph, steps)
    first_axis = graph.constant("first_axis", np.array([0]))
    if config.readout == "max":
        beyond = graph.constant("least", np.array(-np.inf, dtype=np.float32))
        masked = graph.add("Where", [inside, steps, beyond], ["masked"])
        return graph.add("ReduceMax", [masked, first_axis], ["read"], keepdims=0)
    masked = graph.add("Where", [inside, steps, graph.constant("zero_float", np.array(0, np.float32))], ["masked"])
    total = graph.add("ReduceSum", [masked, first_axis], ["total"], keepdims=0)
    counts = graph.add("Cast", ["lengths"], ["lengths_float"], to=TensorProto.FLOAT)
    counts = graph.add("Unsqueeze", [counts, graph.constant("last_axis", np.array([1]))], ["counts"])
    return graph.add("Div", [total, counts], ["read"])


def _add_mask(graph: _Graph, steps: str) -> str:
    """(length, rows, 1): is this step within the row's length? ONNX does not say what stands behind it."""
    length = graph.add("Shape", [steps], ["length_1d"], start=0, end=1)
    length = graph.add("Squeeze", [length], ["length"])
    zero, one = graph.constant("zero", np.array(0)), graph.constant("one", np.array(1))
    positions = graph.add("Range", [zero, length, one], ["positions"])
    positions = graph.add("Unsqueeze", [positions, graph.constant("row_axes", np.array([1, 2]))], ["positions_3d"])
    lengths = graph.add("Unsqueeze", ["lengths", graph.constant("length_axes", np.array([0, 2]))], ["lengths_3d"])
    return graph.add("Less", [positions, lengths], ["inside"])
