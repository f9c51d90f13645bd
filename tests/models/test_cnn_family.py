"""Image classifiers: the zoo's accuracy, and graphs that users bring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from models import zoo
from models.cnn import CnnModel
from models.contract import check_contract
from models.errors import SpecInvalid
from models.load import load_model
from models.runtimes.onnx_runtime import OnnxRuntime
from models.samples import default_samples
from models.spec import InputColumn, ModelSpec, Preprocess
from models.window import run_window

ZOO = Path(zoo.__file__).parent


def make_model(path: Path, *, shape: list[Any], name: str = "pixel_values", **preprocess: Any) -> CnnModel:
    """A graph that looks at the mean of each channel."""
    nodes = [
        helper.make_node("ReduceMean", [name, "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([2, 3]), "axes"),
        numpy_helper.from_array(np.eye(3, dtype=np.float32) * 9, "weights"),
    ]
    graph = helper.make_graph(
        nodes, "mean",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 3])],
        constants,
    )  # fmt: skip
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    spec = ModelSpec(
        name="colours", family="cnn", task="image-classification", labels=("red", "green", "blue"),
        inputs=(InputColumn(name="image", kind="image"),), preprocess=Preprocess(**preprocess),
    )  # fmt: skip
    return CnnModel(folder=path.parent, spec=spec, runtime=OnnxRuntime(path, threads=1))


def broken(model: CnnModel) -> dict[str, str]:
    return {promise.name: promise.found for promise in check_contract(model) if not promise.kept}


def count_micro_batches(model: CnnModel, rows: list[Any]) -> int:
    return run_window(model, model.encode(rows)).stats.micro_batches


COLOURS = [[[list(colour)] * size] * size for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)) for size in (2, 5)]


def test_fashion_is_told_apart_as_well_as_after_training() -> None:
    table = pq.read_table(ZOO / "data" / "fashion.parquet")
    promised = json.loads((ZOO / "fashion-resnet" / "accuracy.json").read_text(encoding="utf-8"))["sample"]
    answers = load_model(str(ZOO / "fashion-resnet"), threads=1).predict_values(table["image"])
    assert table.num_rows == promised["rows"]
    found = np.mean(np.array(answers["label"].to_pylist()) == np.array(table["label"].to_pylist()))
    assert found == pytest.approx(promised["value"], abs=2e-3)


def test_pictures_of_several_sizes_go_through_a_graph_that_takes_any(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx", shape=["n", 3, "h", "w"])
    labels = [answer["label"] for answer in model.predict(COLOURS)]
    assert labels == ["red", "red", "green", "green", "blue", "blue"]
    assert broken(model) == {}


def test_input_of_another_name_is_fed(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx", shape=["n", 3, "h", "w"], name="data", resize=(6, 6))
    assert broken(model) == {}
    assert count_micro_batches(model, COLOURS) == 1


def test_graph_for_a_single_image_gets_one_at_a_time(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx", shape=[1, 3, 6, 6], resize=(6, 6))
    assert broken(model) == {}
    assert count_micro_batches(model, COLOURS) == 3  # two sizes of one colour are equal once they are resized


def test_graph_of_one_size_without_resizing_takes_pictures_of_that_size(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx", shape=["n", 3, 5, 5])
    answers = model.predict(COLOURS)
    assert [answer["label"] for answer in answers] == [None, "red", None, "green", None, "blue"]
    assert "pixel_values" in answers[0]["error"]["message"]
    assert {len(set(model.encode([row]).features["pixel_values"][0].shape[1:])) for row in default_samples(model)} == {
        1
    }
    assert broken(model) == {}


def test_graph_of_several_inputs_names_the_one_that_it_lacks(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["logits"])], "sum",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("a", "b")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
    )  # fmt: skip
    spec = make_model(tmp_path / "m.onnx", shape=["n", 3, 5, 5]).spec
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(SpecInvalid, match="expected a graph with the input 'pixel_values', found a, b"):
        CnnModel(folder=tmp_path, spec=spec, runtime=OnnxRuntime(tmp_path / "m.onnx", threads=1))
