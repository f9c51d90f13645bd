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
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.artifact import verify_digest
from models.variants import VARIANT_FILE, hash_variant

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
    """Its graph in int8, weights by channel, activations by scales of their own for each call."""
    whole = folder / "model.onnx"
    model = onnx.load(whole)
    del model.graph.value_info[:]  # what the exporter inferred is not what ONNX infers
    quantize_dynamic(model, whole, weight_type=QuantType.QInt8, per_channel=True)


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
    record_variant(model, variant, tolerance=tolerance)
    return variant


def record_variant(model: Path, variant: Path, *, tolerance: float) -> None:
    """Write the variant.json of the files as they are now."""
    runtime, precision = variant.name.split("-")
    files, digest = hash_variant(variant)
    record = {
        "runtime": runtime,
        "precision": precision,
        "model": verify_digest(model),
        "digest": digest,
        "files": files,
        "tolerance": tolerance,
        "measured": {"largest": 0.001},
    }
    (variant / VARIANT_FILE).write_text(json.dumps(record))
