"""The recurrent network: torch and its ONNX graph answer alike, and padding changes nothing."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.errors import SpecInvalid
from models.networks.recurrent import RecurrentClassifier, load_classifier
from models.networks.recurrent_config import RecurrentConfig, dump_config, parse_config, read_config, weight_shapes
from models.networks.recurrent_onnx import write_recurrent_onnx

COMBINATIONS = list(
    itertools.product(
        [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")],
        [1, 2, 3],
        [False, True],
        ["last", "mean", "max"],
        [None, 23],
    )
)


def make_network(**settings: Any) -> RecurrentClassifier:
    torch.manual_seed(sum(map(ord, repr(sorted(settings.items())))))
    defaults: dict[str, Any] = {"cell": "lstm", "input_size": 5, "hidden_size": 6, "labels": ("a", "b", "c", "d")}
    return RecurrentClassifier(RecurrentConfig(**(defaults | settings))).eval()


def make_inputs(
    config: RecurrentConfig, lengths: list[int], *, padded_to: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    rng = np.random.default_rng(len(lengths))
    shape = (len(lengths), padded_to)
    if config.vocab_size is None:
        steps = rng.normal(size=(*shape, config.input_size)).astype(np.float32) * 3
        for row, length in enumerate(lengths):
            steps[row, length:] = np.nan  # the padding: it must not be looked at
        return steps, np.array(lengths, dtype=np.int64)
    return rng.integers(0, config.vocab_size, size=shape), np.array(lengths, dtype=np.int64)


def run_torch(network: RecurrentClassifier, inputs: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits: NDArray[np.float32] = network(torch.from_numpy(inputs), torch.from_numpy(lengths)).numpy()
    return logits


def open_graph(network: RecurrentClassifier, path: Path) -> onnxruntime.InferenceSession:
    write_recurrent_onnx(network.config, {name: w.numpy() for name, w in network.state_dict().items()}, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_graph(
    session: onnxruntime.InferenceSession, inputs: NDArray[Any], lengths: NDArray[np.int64]
) -> NDArray[np.float32]:
    (logits,) = session.run(["logits"], {"inputs": inputs, "lengths": lengths})
    return np.asarray(logits)


@pytest.mark.parametrize(("cell", "layers", "both_ways", "readout", "vocab_size"), COMBINATIONS)
def test_graph_answers_as_torch_alone_and_among_others(
    cell: tuple[str, str], layers: int, both_ways: bool, readout: str, vocab_size: int | None, tmp_path: Path
) -> None:
    network = make_network(
        cell=cell[0],
        nonlinearity=cell[1],
        num_layers=layers,
        bidirectional=both_ways,
        readout=readout,
        vocab_size=vocab_size,
    )
    session = open_graph(network, tmp_path / "model.onnx")
    for ragged, padded_to in ([5, 1, 37, 17, 2], 37), ([3, 9, 1, 9, 4], 12), ([7], 7), ([1], 1), ([1], 4):
        inputs, lengths = make_inputs(network.config, ragged, padded_to=padded_to)
        expected = run_torch(network, inputs, lengths)
        np.testing.assert_allclose(run_graph(session, inputs, lengths), expected, atol=1e-5, rtol=0)
        for row, length in enumerate(ragged):
            alone = inputs[row : row + 1, :length], lengths[row : row + 1]
            np.testing.assert_allclose(run_torch(network, *alone)[0], expected[row], atol=1e-5, rtol=0)
            np.testing.assert_allclose(run_graph(session, *alone)[0], expected[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", range(1, 38))
def test_graph_answers_as_torch_at_every_length(length: int, tmp_path: Path) -> None:
    network = make_network(cell="gru", bidirectional=True, readout="mean")
    session = open_graph(network, tmp_path / "model.onnx")
    inputs, lengths = make_inputs(network.config, [length, 38 - length], padded_to=37)
    np.testing.assert_allclose(
        run_graph(session, inputs, lengths), run_torch(network, inputs, lengths), atol=1e-5, rtol=0
    )


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    network = make_network(cell="lstm", bidirectional=True, readout="max", vocab_size=11)
    weights = {name: w.numpy() for name, w in network.state_dict().items()}
    write_recurrent_onnx(network.config, weights, tmp_path / "one.onnx")
    write_recurrent_onnx(network.config, dict(reversed(weights.items())), tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def save_folder(network: RecurrentClassifier, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    (folder / "config.json").write_text(dump_config(network.config), encoding="utf-8")
    save_file({name: w.to(dtype) for name, w in network.state_dict().items()}, folder / "model.safetensors")


def test_folder_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    network = make_network(cell="gru", num_layers=2, vocab_size=11, max_length=40)
    save_folder(network, tmp_path)
    loaded = load_classifier(tmp_path)
    assert loaded.config == network.config
    inputs, lengths = make_inputs(network.config, [3, 7], padded_to=7)
    np.testing.assert_array_equal(run_torch(loaded, inputs, lengths), run_torch(network, inputs, lengths))


def test_weights_saved_as_float16_are_answered_in_float32(tmp_path: Path) -> None:
    network = make_network()
    save_folder(network, tmp_path, dtype=torch.float16)
    loaded = load_classifier(tmp_path)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    inputs, lengths = make_inputs(network.config, [3, 7], padded_to=7)
    np.testing.assert_allclose(run_torch(loaded, inputs, lengths), run_torch(network, inputs, lengths), atol=5e-3)


@pytest.mark.parametrize(("cell", "layers", "both_ways", "readout", "vocab_size"), COMBINATIONS[::7])
def test_weight_names_and_shapes_are_those_of_torch(
    cell: tuple[str, str], layers: int, both_ways: bool, readout: str, vocab_size: int | None
) -> None:
    network = make_network(cell=cell[0], num_layers=layers, bidirectional=both_ways, vocab_size=vocab_size)
    found = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    assert weight_shapes(network.config) == found


GOOD = {
    "architecture": "recurrent",
    "cell": "lstm",
    "input_size": 12,
    "hidden_size": 64,
    "num_layers": 1,
    "bidirectional": True,
    "readout": "last",
    "vocab_size": None,
    "labels": ["a", "b"],
    "normalize": {"mean": [0.5] * 12, "std": [2.0] * 12},
    "max_length": None,
}


def test_config_as_documented_is_read() -> None:
    config = parse_config(json.dumps(GOOD), where="config.json")
    assert (config.cell, config.directions, config.labels) == ("lstm", 2, ("a", "b"))
    assert config.normalize is not None
    np.testing.assert_array_equal(config.normalize.apply(np.full((3, 12), 4.5)), np.full((3, 12), 2, np.float32))
    assert parse_config(dump_config(config), where="config.json") == config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cell": "transformer"}, "cell: Input should be 'lstm', 'gru' or 'rnn' (found 'transformer')"),
        ({"hidden_size": "64"}, "hidden_size: Input should be a valid integer (found '64')"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, found 0"),
        ({"bidirectional": 1}, "bidirectional: Input should be a valid boolean (found 1)"),
        ({"readout": "first"}, "readout: Input should be 'last', 'mean' or 'max' (found 'first')"),
        ({"labels": ["a"]}, "labels must be two or more that all differ, found ['a']"),
        ({"labels": ["a", "a"]}, "labels must be two or more that all differ"),
        ({"nonlinearity": "relu"}, "nonlinearity 'relu' is for the cell 'rnn' only, found cell 'lstm'"),
        ({"normalize": {"mean": [0.0], "std": [1.0]}}, "normalize has 1 numbers, input_size is 12"),
        ({"normalize": {"mean": [0.0] * 12, "std": [0.0] * 12}}, "every std above 0"),
        ({"normalize": {"mean": [0.0] * 12}}, "normalize.std: Field required"),
        ({"vocab_size": 30}, "only one of them"),
        ({"hiden_size": 64}, "hiden_size"),
        ({"architecture": "bert"}, "architecture: Input should be 'recurrent' (found 'bert')"),
    ],
)
def test_wrong_setting_is_named_in_one_line(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GOOD | change), encoding="utf-8")
    with pytest.raises(SpecInvalid) as refused:
        read_config(tmp_path)
    assert said in str(refused.value)
    assert str(tmp_path / "config.json") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["cell", "input_size", "hidden_size", "labels"])
def test_missing_setting_is_named(key: str) -> None:
    with pytest.raises(SpecInvalid, match=f"{key}: Field required"):
        parse_config(json.dumps({name: value for name, value in GOOD.items() if name != key}), where="config.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"lstm"', b"\xff\xfe"])
def test_what_is_no_config_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(SpecInvalid) as refused:
        parse_config(text, where="config.json")
    assert str(refused.value).startswith("config.json: ")
    assert "\n" not in str(refused.value)


def test_folder_without_config_or_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match=r"has no config\.json"):
        load_classifier(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(GOOD), encoding="utf-8")
    with pytest.raises(SpecInvalid, match=r"has no model\.safetensors"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden_size": 7}, "has shape (24, 5), expected (28, 5)"),
        ({"bidirectional": True}, "lacks rnn.bias_hh_l0_reverse"),
        ({"labels": ("a", "b")}, "head.weight has shape (4, 6), expected (2, 6)"),
        ({"vocab_size": 9}, "lacks embedding.weight"),
    ],
)
def test_weights_of_another_network_are_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    network = make_network()
    save_folder(network, tmp_path)
    other = make_network(**settings).config
    (tmp_path / "config.json").write_text(dump_config(other), encoding="utf-8")
    with pytest.raises(SpecInvalid) as refused:
        load_classifier(tmp_path)
    assert said in str(refused.value)
    with pytest.raises(SpecInvalid) as refused:
        write_recurrent_onnx(other, {n: w.numpy() for n, w in network.state_dict().items()}, tmp_path / "model.onnx")
    assert said in str(refused.value)
    assert not (tmp_path / "model.onnx").exists()


def test_config_is_read_without_torch() -> None:
    code = "import sys; import models.networks.recurrent_config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
