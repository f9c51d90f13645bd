"""Copies of the zoo's artifacts with one thing wrong in each: what a parity check is there to find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import numpy_helper

from models.artifact import verify_digest
from models.load import load_model
from models.model import Values
from models.optimize import write_record
from models.quantize import make_graph
from models.samples import default_samples

ZOO = Path(__file__).parents[2] / "models" / "zoo"


def copy_of(name: str, folder: Path) -> Path:
    """A zoo model's files, to be changed: without the record of their digest."""
    shutil.copytree(ZOO / name, folder, ignore=shutil.ignore_patterns("digest.json", "variants"))
    return folder


def edit_spec(folder: Path, **settings: Any) -> None:
    """Change settings of tandem.yaml; those of `preprocess` are joined with what is there."""
    path = folder / "tandem.yaml"
    spec = yaml.safe_load(path.read_text())
    preprocess = spec.get("preprocess", {}) | settings.pop("preprocess", {})
    path.write_text(yaml.safe_dump(spec | settings | ({"preprocess": preprocess} if preprocess else {})))


def edit_json(path: Path, edit: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def quantize(folder: Path) -> None:
    """Its graph in int8, as `tandem model optimize --runtime onnx` makes it."""
    reference = load_model(str(folder), runtime="onnx", precision="fp32", threads=1)
    made = folder / "made"
    made.mkdir()
    encoded = reference.encode(default_samples(reference))
    make_graph(reference, folder / "model.onnx", made, runtime="onnx", precision="int8", encoded=encoded)
    (made / "model.onnx").replace(folder / "model.onnx")
    made.rmdir()


def spoil_scale(folder: Path, *, factor: float, which: int = 0) -> str:
    """Multiply the scale of one quantised weight; returns its name."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    scales = [tensor for tensor in model.graph.initializer if tensor.name.endswith("_scale")]
    tensor = scales[which]
    tensor.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(tensor) * factor).astype(np.float32), tensor.name))
    onnx.save(model, path)
    return str(tensor.name)


def make_int8(model: Path, change: Callable[[Path], None] = lambda folder: None, *, tolerance: float = 0.01) -> Path:
    """Give an artifact an int8 variant for ONNX Runtime, with something wrong in it; its record is of what it holds."""
    variant = model / "variants" / "onnx-int8"
    shutil.copytree(model, variant, ignore=shutil.ignore_patterns("variants", "digest.json", "*.safetensors"))
    quantize(variant)
    change(variant)
    record = {"runtime": "onnx", "precision": "int8", "model": verify_digest(model), "tolerance": tolerance}
    write_record(variant, record | {"measured": {"largest": 0.001}})
    return variant


def make_static_int8(model: Path, values: Values, *, tolerance: float) -> Path:
    """Give an artifact an int8 variant for OpenVINO, whose scales are those of these rows."""
    variant = model / "variants" / "openvino-int8"
    shutil.copytree(model, variant, ignore=shutil.ignore_patterns("variants", "digest.json", "*.safetensors", "*.onnx"))
    reference = load_model(str(model), runtime="onnx", precision="fp32", threads=1)
    encoded = reference.encode(values)
    make_graph(reference, model / "model.onnx", variant, runtime="openvino", precision="int8", encoded=encoded)
    record = {"runtime": "openvino", "precision": "int8", "model": verify_digest(model), "tolerance": tolerance}
    write_record(variant, record | {"measured": {"largest": 0.001}})
    return variant


def spoil_static_scale(folder: Path, *, factor: float, which: int = 0) -> None:
    """Multiply the range of one quantised activation in OpenVINO's graph; the record is made anew over it."""
    import openvino as ov

    path = folder / "model.xml"
    model = ov.Core().read_model(path)
    node = [op for op in model.get_ops() if op.get_type_name() == "FakeQuantize"][which]
    for place in (3, 4):  # what the smallest and the largest of the levels stand for
        level = node.input_value(place).get_node()
        node.input(place).replace_source_output(
            ov.op.Constant(np.asarray(level.data * factor, dtype=np.float32)).output(0)
        )
    spoiled = folder / "spoiled.xml"
    ov.save_model(model, spoiled, compress_to_fp16=False)
    del model
    for suffix in (".xml", ".bin"):
        spoiled.with_suffix(suffix).replace(path.with_suffix(suffix))
    record = json.loads((folder / "variant.json").read_text())
    write_record(folder, {name: record[name] for name in ("runtime", "precision", "model", "tolerance", "measured")})
