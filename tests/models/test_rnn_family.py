"""Recurrent models: sequences and texts as Arrow and Python hold them, long ones, bad ones, and a user's own graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save_model

from models import zoo
from models.contract import check_contract
from models.errors import SpecInvalid
from models.load import load_model
from models.model import Encoded, Options
from models.networks.recurrent_config import Normalize, RecurrentConfig, dump_config, weight_shapes
from models.networks.recurrent_onnx import write_recurrent_onnx
from models.rnn import RnnModel, cut_long_rows
from models.runtimes.onnx_runtime import OnnxRuntime
from models.sequences import read_sequences
from models.spec import InputColumn, ModelSpec

ZOO = Path(zoo.__file__).parent


def make_model(folder: Path, *, options: Options | None = None, **settings: Any) -> RnnModel:
    """A small network of random weights in `folder`."""
    config = RecurrentConfig(cell="gru", input_size=3, hidden_size=6, labels=("a", "b"), **settings)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=shape).astype(np.float32) / 2 for name, shape in weight_shapes(config).items()}
    (folder / "config.json").write_text(dump_config(config), encoding="utf-8")
    write_recurrent_onnx(config, weights, folder / "model.onnx")
    return RnnModel(
        folder=folder, spec=make_spec(), runtime=OnnxRuntime(folder / "model.onnx", threads=1), options=options
    )


def make_spec(**settings: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {"name": "small", "family": "rnn", "task": "sequence-classification", "labels": ("a", "b")}
        | {"inputs": (InputColumn(name="steps", kind="sequence"),), "architecture": "recurrent"}
        | settings
    )


def make_rows(*lengths: int) -> list[Any]:
    rng = np.random.default_rng(7)
    return [rng.normal(size=(length, 3)).tolist() for length in lengths]


def test_vowels_are_told_apart_as_well_as_after_training() -> None:
    table = pq.read_table(ZOO / "data" / "vowels.parquet")
    promised = json.loads((ZOO / "vowels-bilstm" / "accuracy.json").read_text(encoding="utf-8"))
    answers = {}
    for runtime in ("onnx", "torch"):
        model = load_model(str(ZOO / "vowels-bilstm"), runtime=runtime, threads=1)
        answers[runtime] = model.predict_values(table["steps"])
        found = np.mean(np.array(answers[runtime]["label"].to_pylist()) == np.array(table["speaker"].to_pylist()))
        assert table.num_rows == promised["rows"]
        assert found == pytest.approx(promised["value"], abs=1e-4)
    difference = np.abs(np.array(answers["onnx"]["score"]) - np.array(answers["torch"]["score"])).max()
    assert difference < 1e-5


def test_language_of_a_text_is_told() -> None:
    model = load_model(str(ZOO / "language-bigru"), threads=1)
    texts = ["Das ist ein langer deutscher Satz über das Wetter.", "This sentence was written in English, of course."]
    assert [answer["label"] for answer in model.predict(texts)] == ["de", "en"]


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.list_(pa.float64())), pa.large_list(pa.large_list(pa.float32())), pa.list_(pa.list_(pa.float32(), 3))],
    ids=str,
)
def test_arrow_columns_are_read_as_python_lists_are(kind: Any) -> None:
    rows = [*make_rows(4, 1), None, *make_rows(9), [], *make_rows(2)]
    column = pa.array(rows, kind)
    normalize = Normalize(mean=(1.0, 2.0, 3.0), std=(0.1, 1.0, 7.0))
    expected = read_sequences(column.to_pylist(), 3, normalize)
    views = [column, pa.chunked_array([column[:3], column[3:]]), pa.concat_arrays([column, column])[4:10]]
    for view, shift in zip(views, (0, 0, 4), strict=True):
        found = read_sequences(view, 3, normalize)
        for row, wanted in zip(found, expected[shift:] + expected[:shift], strict=True):
            np.testing.assert_array_equal(row, wanted)


NUMBERS = st.none() | st.floats(width=32) | st.sampled_from([0.0, 1.5])
STEPS = st.none() | st.lists(NUMBERS, min_size=1, max_size=3)


@given(st.lists(st.none() | st.lists(STEPS, max_size=4), max_size=6))
def test_whatever_a_column_holds_it_is_read_as_its_python_values_are(rows: list[Any]) -> None:
    column = pa.array(rows, pa.list_(pa.list_(pa.float32())))
    found, expected = read_sequences(column, 2, None), read_sequences(column.to_pylist(), 2, None)
    for row, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(row, wanted)


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2, 3], [4]],
        [[[1], [2], [3]], [[4]]],
        pa.array([[1, 2, 3], [4]], pa.list_(pa.int16())),
        pa.array([[1, 2, 3], [4]], pa.large_list(pa.float16())),
        pa.array([[[1.0], [2.0], [3.0]], [[4.0]]]),
        [np.array([1, 2, 3]), np.array([[4.0]])],
        [(1, 2, 3), (4,)],
    ],
    ids=str,
)
def test_one_number_a_step_needs_no_inner_list(values: Any) -> None:
    first, second = read_sequences(values, 1, None)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert first.dtype == np.float32
    assert (first.tolist(), second.tolist()) == ([[1], [2], [3]], [[4]])


GOOD = [[0.1, 0.2, 0.3], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (None, "NullValue", "expected a list of steps of 3 numbers, found null"),
        (float("nan"), "NullValue", "found null"),
        ([], "EmptySequence", "found none"),
        (np.zeros((0, 3)), "EmptySequence", "found none"),
        (7, "WrongType", "found int 7"),
        ("text", "WrongType", "found str 'text'"),
        (b"bytes", "WrongType", "found 5 bytes"),
        ({"a": 1}, "WrongType", "found dict {'a': 1}"),
        (object(), "WrongType", "found a value of type object"),
        (["x", "y"], "WrongType", "found list ['x', 'y']"),
        ([[True, False, True]], "WrongType", "found list"),
        ([[1, 2, 3], [1, None, 3]], "WrongType", "found null in step 1"),
        ([None], "WrongType", "found null in step 0"),
        ([1, 2, 3], "WrongShape", "found shape (3,)"),
        ([[1, 2], [3, 4]], "WrongShape", "expected a list of steps of 3 numbers, found shape (2, 2)"),
        ([[1, 2, 3], [1, 2]], "WrongShape", "found 3 numbers in step 0 and 2 numbers in step 1"),
        ([[1, 2, 3], None], "WrongShape", "found 3 numbers in step 0 and no list in step 1"),
        ([[[1, 2, 3]]], "WrongShape", "found shape (1, 1, 3)"),
        ([[1, 2, 3], [1, float("nan"), 3]], "NonFiniteInput", "found nan in step 1, channel 1"),
        ([[1, 2, float("-inf")]], "NonFiniteInput", "found -inf in step 0, channel 2"),
        ([[1e300, 2, 3]], "NonFiniteInput", "found 1e+300"),
        ([[10**400, 2, 3]], "WrongType", "found list"),
    ],
)
def test_bad_sequence_is_a_fault_and_its_neighbours_are_answered(
    value: Any, kind: str, says: str, tmp_path: Path
) -> None:
    model = make_model(tmp_path)
    encoded = model.encode([GOOD, value, GOOD])
    assert encoded.piece_rows.tolist() == [0, 2]
    assert encoded.faults[1].kind == kind
    assert says in encoded.faults[1].message
    assert len(encoded.faults[1].message) < 300
    assert model.predict([value])[0]["error"]["class"] == kind


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.string(), pa.null(), pa.list_(pa.string()), pa.map_(pa.string(), pa.int8())]
)
def test_column_of_another_type_is_faults(kind: Any) -> None:
    assert [row.kind for row in read_sequences(pa.nulls(2, kind), 3, None)] == ["NullValue"] * 2  # type: ignore[union-attr]
    (fault,) = read_sequences(pa.array([["x"]]), 3, None)
    assert fault.kind == "WrongType"  # type: ignore[union-attr]


def encode_long(on_long: Any) -> Encoded:
    rows = [np.zeros((length, 1), np.float32) for length in (3, 4, 9)]
    return cut_long_rows(rows, 4, Options(on_long=on_long))


def test_long_sequence_is_cut_refused_or_chunked() -> None:
    cut = encode_long("truncate")
    assert (cut.lengths.tolist(), cut.truncated.tolist()) == ([3, 4, 4], [False, False, True])
    refused = encode_long("error")
    assert (refused.lengths.tolist(), refused.faults[2].kind) == ([3, 4], "TooLong")
    assert refused.faults[2].message == "expected at most 4 steps, found 9"
    chunked = encode_long("chunk")
    assert (chunked.lengths.tolist(), chunked.piece_rows.tolist()) == ([3, 4, 4, 4, 1], [0, 1, 2, 2, 2])
    assert not chunked.truncated.any()


def test_chunks_of_one_sequence_are_averaged_by_their_lengths(tmp_path: Path) -> None:
    (row,) = make_rows(9)
    model = make_model(tmp_path, options=Options(on_long="chunk"), max_length=4)
    parts = [dict(model.predict([row[start : start + 4]])[0]["scores"])["a"] for start in (0, 4, 8)]
    found = dict(model.predict([row])[0]["scores"])["a"]
    assert found == pytest.approx(np.average(parts, weights=[4, 4, 1]), abs=1e-6)


def test_normalisation_is_that_of_the_config(tmp_path: Path) -> None:
    plain, shifted = tmp_path / "plain", tmp_path / "shifted"
    plain.mkdir()
    shifted.mkdir()
    rows = make_rows(5)
    moved = (np.array(rows) * [2.0, 3.0, 4.0] + [10.0, 20.0, 30.0]).tolist()
    expected = make_model(plain).predict(rows)[0]["score"]
    model = make_model(shifted, normalize=Normalize(mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0)))
    assert model.predict(moved)[0]["score"] == pytest.approx(expected, abs=1e-6)
    assert model.predict(rows)[0]["score"] != pytest.approx(expected, abs=1e-3)


def test_text_without_a_token_and_what_is_no_text_are_faults() -> None:
    model = load_model(str(ZOO / "language-bigru"), threads=1)
    answers = model.predict(["", "ein Satz", None, 7, "half \ud800 a pair", b"bytes"])
    kinds = [None if answer["error"] is None else answer["error"]["class"] for answer in answers]
    assert kinds == ["EmptySequence", None, "NullValue", "WrongType", "WrongType", "WrongType"]
    assert "at character 5" in answers[4]["error"]["message"]


def test_text_of_a_damaged_arrow_column_is_a_fault() -> None:
    offsets = pa.array([0, 3, 6], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"ab\xff\xc3\xa4b")])
    model = load_model(str(ZOO / "language-bigru"), threads=1)
    faults = model.encode(column).faults
    assert list(faults) == [0]
    assert "cannot be read ('utf-8' codec can't decode byte 0xff" in faults[0].message


def test_folder_whose_files_disagree_is_refused(tmp_path: Path) -> None:
    runtime = make_model(tmp_path).runtime
    with pytest.raises(SpecInvalid, match=r"labels .*\('x', 'y'\).* config\.json .*\('a', 'b'\)"):
        RnnModel(folder=tmp_path, spec=make_spec(labels=("x", "y")), runtime=runtime)
    text = make_spec(task="text-classification", inputs=(InputColumn(name="text", kind="text"),))
    with pytest.raises(SpecInvalid, match=r"takes text, but by its vocab_size config\.json takes sequence"):
        RnnModel(folder=tmp_path, spec=text, runtime=runtime)
    (tmp_path / "config.json").unlink()
    with pytest.raises(SpecInvalid, match=r"has no config\.json"):
        RnnModel(folder=tmp_path, spec=make_spec(), runtime=runtime)
    with pytest.raises(SpecInvalid, match=r"has no tokenizer\.json"):
        RnnModel(folder=tmp_path, spec=text.model_copy(update={"architecture": "onnx"}), runtime=runtime)


def test_users_own_graph_needs_no_config(tmp_path: Path) -> None:
    make_model(tmp_path)
    (tmp_path / "config.json").unlink()
    runtime = OnnxRuntime(tmp_path / "model.onnx", threads=1)
    model = RnnModel(folder=tmp_path, spec=make_spec(architecture="onnx", max_length=12), runtime=runtime)
    assert (model.channels, model.max_length) == (3, 12)
    assert [promise for promise in check_contract(model) if not promise.kept] == []


def test_users_graph_without_lengths_gets_each_row_alone_since_padding_would_change_its_answer(tmp_path: Path) -> None:
    """The graph takes the mean over all steps that it is given, padding included."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1]), "axes"),
        numpy_helper.from_array(np.eye(3, 2, dtype=np.float32), "weights"),
    ]
    graph = helper.make_graph(
        nodes, "mean",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "length", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 2])],
        constants,
    )  # fmt: skip
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    runtime = OnnxRuntime(tmp_path / "m.onnx", threads=1)
    model = RnnModel(folder=tmp_path, spec=make_spec(architecture="onnx"), runtime=runtime)
    assert [promise for promise in check_contract(model) if not promise.kept] == []
    model.pads = True  # rows of several lengths together: now padding shows
    assert "a row is answered the same alone as among others" in {p.name for p in check_contract(model) if not p.kept}
