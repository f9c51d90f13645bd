"""A network in torch -> the ONNX graph that answers as it does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from models.errors import SpecInvalid
from models.pixels import image_shape, image_size
from models.spec import ModelSpec

#: Larger weights go into a file beside the graph: ONNX Runtime maps it instead of copying, and processes share pages.
#: Of two with MiniLM each takes 97 MB instead of 150 and loads in half the time. A protobuf message would end at 2 GiB.
LARGEST_GRAPH_BYTES = 16 << 20
EXTERNAL_DATA = "model.onnx.data"
#: Of the example that is traced; neither 0 nor 1, which torch takes for constants.
EXAMPLE_ROWS, EXAMPLE_LENGTH = 2, 19


class ByPosition(nn.Module):
    """A network that takes its tensors by name, for an exporter that wants them in a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        named: Any = self.network.input_names
        return tuple(self.network(**dict(zip(named, inputs, strict=True))).values())


def export_onnx(network: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write the graph of a network from `build_network`: rows and length are free, float32, names as everywhere.

    Paths, traces and names of this machine are left out, so the same weights and packages give the same bytes.

    Raises:
        SpecInvalid: torch's exporter cannot follow the network; the message says why.
    """
    if spec.architecture == "recurrent":
        export_recurrent(network, path)
        return
    names: Any = network.input_names
    examples = tuple(example_input(name, spec) for name in names)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    height, width = torch.export.Dim("height"), torch.export.Dim("width")
    if "pixel_values" in names:
        sized = spec.preprocess is not None and image_size(spec.preprocess) is not None
        axes: dict[int, Any] = {0: rows} if sized else {0: rows, 2: height, 3: width}
    else:
        axes = {0: rows, 1: length}
    traced = ByPosition(network).eval()
    with quiet_exporter():
        try:
            program = trace(traced, names, examples, axes)
        except Exception as error:  # whatever the traced network raised, wrapped in the exporter's own
            try:
                with plain_attention(network):
                    program = trace(traced, names, examples, axes)
            except Exception:
                raise SpecInvalid(spec.name, f"torch cannot export it to ONNX ({reason(error)})") from None
    name_output(program.model.graph, "embedding" if spec.task == "text-embedding" else "logits")
    save_graph(program.model_proto, path)


def trace(traced: nn.Module, names: Sequence[str], examples: tuple[Tensor, ...], axes: dict[int, Any]) -> Any:
    return torch.onnx.export(
        traced,
        (examples,),
        dynamic_shapes={"inputs": tuple(axes for _ in names)},
        input_names=list(names),
        dynamo=True,
        verbose=False,
    )


@contextmanager
def plain_attention(network: nn.Module) -> Iterator[None]:
    """Attention in plain matrix products: some networks, such as Swin, cannot be traced with torch's fused one."""
    body: Any = getattr(network, "body", None)
    if not hasattr(body, "set_attn_implementation"):
        raise TypeError("the network has no attention to be set")
    before = body.config._attn_implementation
    body.set_attn_implementation("eager")
    try:
        yield
    finally:
        body.set_attn_implementation(before)


def export_recurrent(network: nn.Module, path: Path) -> None:
    """RNNs over packed sequences go through no exporter of torch; their graph is built from the weights."""
    from models.networks.recurrent_onnx import write_recurrent_onnx

    body: Any = network.body
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in body.state_dict().items()}
    write_recurrent_onnx(body.config, weights, path)
    path.chmod(0o644)


def name_output(graph: Any, name: str) -> None:
    """Call the graph's answer by the name that every runtime uses; the exporter would not mind a name used twice."""
    for node in graph.all_nodes():
        for value in node.outputs:
            if value.name == name:
                value.name = f"{name}_inside"
    for value in (*graph.inputs, *graph.initializers.values()):
        if value.name == name:
            raise SpecInvalid("the network", f"calls an input or a weight {name!r}, as its answer is to be called")
    graph.outputs[0].name = name


def example_input(name: str, spec: ModelSpec) -> Tensor:
    """What is traced. Each input is a tensor of its own: one passed twice would become one input, without a word."""
    if name == "pixel_values":
        assert spec.preprocess is not None
        return torch.zeros(EXAMPLE_ROWS, *image_shape(spec.preprocess))
    shape = (EXAMPLE_ROWS, min(EXAMPLE_LENGTH, spec.max_length or EXAMPLE_LENGTH))
    return torch.zeros(shape, dtype=torch.int64) if name == "token_type_ids" else torch.ones(shape, dtype=torch.int64)


def save_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Write a graph without what tells of the machine that made it."""
    strip_traces(graph)
    if graph.ByteSize() > LARGEST_GRAPH_BYTES:
        onnx.save_model(graph, str(path), save_as_external_data=True, location=EXTERNAL_DATA)
        path.with_name(EXTERNAL_DATA).chmod(0o644)
    else:
        path.write_bytes(graph.SerializeToString(deterministic=True))
    path.chmod(0o644)


def strip_traces(graph: onnx.ModelProto) -> None:
    """Remove the exporter's notes: paths of source files, stack traces and the torch graph's own names."""
    for holder in (graph, graph.graph, *graph.functions):
        strip_notes(holder)
    for body in (graph.graph, *graph.functions):
        pending: list[Any] = [*body.node, *body.value_info]
        while pending:
            item = pending.pop()
            strip_notes(item)
            for attribute in getattr(item, "attribute", ()):
                for inner in (attribute.g, *attribute.graphs) if attribute.type in GRAPH_ATTRIBUTES else ():
                    strip_notes(inner)
                    pending += [*inner.node, *inner.value_info, *inner.input, *inner.output]
    for item in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        strip_notes(item)


GRAPH_ATTRIBUTES = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def strip_notes(holder: Any) -> None:
    holder.ClearField("doc_string")
    holder.ClearField("metadata_props")


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """The exporter reports steps and missing packages on stderr; none of it concerns who adds a model."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def reason(error: BaseException) -> str:
    """The innermost cause of an export's failure, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
