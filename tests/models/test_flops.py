"""Operations are counted as torch counts them, and for recurrent cells as their weights say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from models.add import add_model
from models.flops import REFERENCE_COSTS, count_flops, flops_of, read_flops, record_flops
from models.spec import read_spec
from tests.models.tiny_folders import make_bert_classifier, save_network

ZOO = Path(__file__).parents[2] / "models" / "zoo"
LENGTHS = (4, 9, 20)


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))


def torch_flops(network: Any, **inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(**inputs)
    return int(counter.get_total_flops())


def test_a_bert_is_counted_as_torch_counts_it(tmp_path: Path) -> None:
    network = make_bert_classifier(tmp_path / "bert")
    added = add_model(tmp_path / "bert", name="bert")
    flops = read_flops(added.folder)
    assert flops is not None
    network.set_attn_implementation("eager")  # torch's counter passes over its fused attention on the CPU
    for length in LENGTHS:
        ids = torch.ones(3, length, dtype=torch.int64)
        counted = flops_of(flops, pieces=3, padded=3 * length, squared=3 * length**2)
        assert counted == pytest.approx(torch_flops(network, input_ids=ids, attention_mask=ids), rel=1e-6)


def test_a_resnet_is_counted_as_torch_counts_it(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(
        num_channels=3, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1},
    )  # fmt: skip
    network = save_network(tmp_path / "resnet", transformers.ResNetForImageClassification(config))
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "resnet")
    added = add_model(tmp_path / "resnet", name="resnet")
    flops = read_flops(added.folder)
    assert flops is not None
    assert flops[1:] == (0, 0), "every image has one size"
    assert flops[0] == torch_flops(network, pixel_values=torch.zeros(1, 3, 32, 32))


def test_an_lstm_meets_all_its_weights_at_every_step() -> None:
    flops = count_flops(ZOO / "vowels-bilstm" / "model.onnx", read_spec(ZOO / "vowels-bilstm"))
    gates, hidden, inputs, directions, labels = 4, 64, 12, 2, 9
    assert flops is not None
    assert flops[0] == 2 * directions * hidden * labels
    assert flops[1] == 2 * directions * gates * hidden * (hidden + inputs)
    assert flops[2] == 0


def test_counting_changes_no_digest_and_keeps_what_is_beside_it(tmp_path: Path) -> None:
    make_bert_classifier(tmp_path / "bert")
    added = add_model(tmp_path / "bert", name="bert")
    costs = added.folder / REFERENCE_COSTS
    costs.write_text(json.dumps({"prior": [1.0, 2.0, 3.0, 4.0]}))
    record_flops(added.folder, added.spec)
    assert json.loads(costs.read_text()).keys() == {"prior", "flops"}
    assert add_model(tmp_path / "bert", name="bert").digest == added.digest


@pytest.mark.parametrize("content", ["", "{}", '{"flops": [1, 2]}', '{"flops": "many"}', "[]"])
def test_a_record_that_is_none_counts_as_no_count(tmp_path: Path, content: str) -> None:
    assert read_flops(tmp_path) is None
    assert read_flops(None) is None
    (tmp_path / REFERENCE_COSTS).parent.mkdir(parents=True)
    (tmp_path / REFERENCE_COSTS).write_text(content)
    assert read_flops(tmp_path) is None


def test_a_graph_that_does_not_run_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    assert count_flops(tmp_path / "model.onnx", read_spec(ZOO / "vowels-bilstm")) is None


@pytest.mark.parametrize("name", ["bbc-bert", "fashion-resnet", "language-bigru", "vowels-bilstm"])
def test_what_the_zoo_says_of_its_models_is_what_is_counted(name: str) -> None:
    assert read_flops(ZOO / name) == count_flops(ZOO / name / "model.onnx", read_spec(ZOO / name))
