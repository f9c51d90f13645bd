"""Graphs of a model at other precisions, made from its reference ONNX."""

from __future__ import annotations

import io
import logging
import os
import platform
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import MissingExtra, RuntimeUnavailable
from models.fuse_attention import fuse_attention
from models.model import Encoded, Model
from models.runtimes.primitive_cache import turn_off_primitive_cache
from models.runtimes.signal_stack import kept_signal_stack

Inputs = Mapping[str, NDArray[Any]]

#: Rows and padded tokens of a micro-batch that a graph is calibrated with.
CALIBRATION_ROWS, CALIBRATION_PADDED = 8, 1024
#: Micro-batches that a graph is calibrated with, drawn evenly over lengths.
CALIBRATION_BATCHES = 40
#: How much of the activations' outliers goes into the weights. MiniLM, cosine with fp32, mean and least: at NNCF's own
#: 0.95 0.9968 and 0.979; at 0.8 0.9973 and 0.990; at 0.5 0.9908 and 0.975; without 0.9930 and 0.976. Speed is the same.
SMOOTHING = 0.8
#: What `tandem model optimize` makes.
MADE = (("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("onnx", "int8"))


def make_graph(
    reference: Model, graph: Path, target: Path, *, runtime: str, precision: str, encoded: Encoded
) -> dict[str, Any]:
    """Write a graph of a model at a precision.

    Args:
        reference: the model, for how its rows become inputs.
        graph: its ONNX file.
        target: an empty folder, which becomes the variant's.
        runtime: `openvino` writes model.xml and model.bin, `onnx` model.onnx.
        precision: see MADE.
        encoded: rows to calibrate with.

    Returns:
        How it was made, for variant.json.

    Raises:
        RuntimeUnavailable: nothing makes such a variant.
        MissingExtra: the package that makes it is not installed.
    """
    if (runtime, precision) not in MADE:
        made = [f"--runtime {one} --precision {other}" for one, other in MADE]
        raise RuntimeUnavailable(runtime, why=f"no variant of it is made in {precision}", available=made)
    try:
        if runtime == "onnx":
            return quantize_onnx(graph, target / "model.onnx", reference, encoded)
        if precision == "int8":
            return quantize_openvino(graph, target / "model.xml", reference, encoded)
        return convert_openvino(graph, target / "model.xml")
    except ModuleNotFoundError as error:
        what = f"tandem model optimize --runtime {runtime}"
        raise MissingExtra(what, package=str(error.name), extra="optimize") from None


@kept_signal_stack()
def convert_openvino(graph: Path, target: Path) -> dict[str, Any]:
    """Save the graph as OpenVINO's own, in fp32; what the arithmetic is done in is said when it is loaded."""
    import openvino as ov

    converted = ov.Core().read_model(graph)
    fused = fuse_attention(converted)
    ov.save_model(converted, target, compress_to_fp16=False)
    return {"openvino": ov.__version__, "fused_attentions": fused}


@kept_signal_stack()
def quantize_openvino(graph: Path, target: Path, reference: Model, encoded: Encoded) -> dict[str, Any]:
    """Post-training quantisation by NNCF: int8 weights for each channel, int8 activations with fixed scales."""
    turn_off_primitive_cache()  # NNCF runs the graph, the first that makes use of OpenVINO here
    with quiet_nncf():
        import nncf
        import openvino as ov

        batches = calibration_batches(reference, encoded)
        original = ov.Core().read_model(graph)
        fused = fuse_attention(original)
        names = [port.get_any_name() for port in original.inputs]
        transformer = reference.spec.family == "transformer"
        quantized = nncf.quantize(
            original,
            nncf.Dataset(batches, lambda inputs: {name: inputs[name] for name in names}),
            subset_size=len(batches),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            preset=nncf.QuantizationPreset.MIXED if transformer else nncf.QuantizationPreset.PERFORMANCE,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=SMOOTHING)
            ),
        )
        ov.save_model(quantized, target, compress_to_fp16=False)
    versions = {"openvino": ov.__version__, "nncf": nncf.__version__}
    return versions | {"fused_attentions": fused, "calibration_batches": len(batches)}


def quantize_onnx(graph: Path, target: Path, reference: Model, encoded: Encoded) -> dict[str, Any]:
    """Quantisation by ONNX Runtime: int8 weights for each channel.

    Activations of matrix products are scaled anew in each call, which costs little and needs no calibration. Those of
    convolutions get fixed scales: scaled anew, they ran at a third of the speed of fp32. Fusing the graph of a
    transformer beforehand gained nothing: the session fuses as much when it loads.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    original = onnx.load(graph)
    # The exporter's notes on shapes between nodes name axes that shape inference takes for others.
    del original.graph.value_info[:]
    facts = {"onnxruntime": onnxruntime.__version__}
    # Seven bits keep sums of products inside 16 where the processor has no instruction for eight.
    reduce_range = not has_vnni()
    with quiet_onnx(), tempfile.TemporaryDirectory() as scratch:
        if reference.spec.family != "cnn":
            quantize_dynamic(
                original,
                target,
                per_channel=True,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return facts | {"scales": "dynamic", "reduce_range": reduce_range}
        batches = calibration_batches(reference, encoded)
        bare, prepared = Path(scratch) / "bare.onnx", Path(scratch) / "prepared.onnx"
        onnx.save(original, bare)
        quant_pre_process(str(bare), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            target,
            CalibrationReader(batches),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return facts | {"scales": "static", "reduce_range": reduce_range, "calibration_batches": len(batches)}


class CalibrationReader:
    """Hands out micro-batches one by one, as ONNX Runtime's calibration asks for them."""

    def __init__(self, batches: Sequence[Inputs]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        batch = next(self._batches, None)
        return None if batch is None else dict(batch)


@contextmanager
def quiet_onnx() -> Iterator[None]:
    """ONNX Runtime's quantisation speaks to the root logger, and prints."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def has_vnni() -> bool:
    """Whether this processor multiplies eight-bit numbers without overflow."""
    if platform.machine() in ("aarch64", "arm64"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def calibration_batches(model: Model, encoded: Encoded) -> list[Inputs]:
    """Micro-batches of like length, from the shortest rows to the longest: padding would spoil the ranges."""
    order = np.argsort(encoded.lengths, kind="stable")
    groups: list[list[int]] = []
    for piece in order:
        length = int(encoded.lengths[piece])
        group = groups[-1] if groups else []
        fits = len(group) < min(CALIBRATION_ROWS, model.max_rows) and (len(group) + 1) * length <= CALIBRATION_PADDED
        alike = not group or model.pads or int(encoded.lengths[group[0]]) == length
        if group and fits and alike:
            group.append(int(piece))
        else:
            groups.append([int(piece)])
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), CALIBRATION_BATCHES)).astype(np.int64))
    return [model.collate(encoded, np.asarray(groups[number], dtype=np.int64)).inputs for number in chosen]


@contextmanager
def quiet_nncf() -> Iterator[None]:
    """NNCF without its report to its makers, its log and its bars."""
    os.environ.setdefault("NNCF_CI", "1")
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        import nncf  # noqa: F401

        log = logging.getLogger("nncf")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
