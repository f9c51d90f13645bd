"""Fused attention: recognised as exporters spell it, with the same answers; left alone where it is spelt otherwise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
import transformers
from numpy.typing import NDArray
from openvino import opset13

from models.export import quiet_exporter
from models.fuse_attention import fuse_attention
from tests.models.made_variants import ZOO
from tests.models.tiny_folders import small

LAYERS = 2
Inputs = dict[str, NDArray[Any]]


class FirstOutput(torch.nn.Module):
    """A body of transformers that takes its inputs by position and answers its last hidden state."""

    def __init__(self, body: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.names = body, names

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.body(**dict(zip(self.names, inputs, strict=True)))[0]


def text_body(kind: str, attention: str) -> Any:
    config = {
        "bert": lambda: transformers.BertConfig(**small(num_hidden_layers=LAYERS)),
        "roberta": lambda: transformers.RobertaConfig(**small(num_hidden_layers=LAYERS, pad_token_id=1)),
        "distilbert": lambda: transformers.DistilBertConfig(vocab_size=90, dim=16, n_layers=LAYERS, n_heads=2,
                                                            hidden_dim=32, max_position_embeddings=64),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=90, n_embd=16, n_layer=LAYERS, n_head=2, n_positions=64,
                                                use_cache=False, bos_token_id=0, eos_token_id=0),
    }[kind]()  # fmt: skip
    config.return_dict = False
    return transformers.AutoModel.from_config(config, attn_implementation=attention)


def export(body: Any, inputs: Inputs, path: Path) -> Any:
    """The graph as torch's exporter writes it, with free rows and lengths."""
    torch.manual_seed(3)
    for parameter in body.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length")
    axes = tuple({0: rows} if array.ndim == 4 else {0: rows, 1: length} for array in inputs.values())
    with quiet_exporter(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            FirstOutput(body.eval(), tuple(inputs)),
            tuple(torch.from_numpy(array) for array in inputs.values()),
            str(path),
            dynamic_shapes={"inputs": axes},
            input_names=list(inputs),
            dynamo=True,
            verbose=False,
        )
    return ov.Core().read_model(path)


def answers(graph: Any, inputs: Inputs) -> NDArray[Any]:
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(inputs)[0]).copy()


def padded_texts(rows: int, length: int) -> Inputs:
    """Rows of several lengths, the last one of a single token."""
    rng = np.random.default_rng(5)
    lengths = np.linspace(length, 1, rows).astype(np.int64)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(2, 80, (rows, length)) * mask, "attention_mask": mask}


def kinds(graph: Any) -> list[str]:
    return [node.get_type_name() for node in graph.get_ops()]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2"])
def test_attention_over_texts_is_fused_with_the_same_answers(kind: str, attention: str, tmp_path: Path) -> None:
    graph = export(text_body(kind, attention), padded_texts(2, 19), tmp_path / "model.onnx")
    inputs = padded_texts(5, 33)
    real = inputs["attention_mask"].astype(bool)
    before = answers(graph, inputs)[real]
    assert fuse_attention(graph) == LAYERS
    assert kinds(graph).count("ScaledDotProductAttention") == LAYERS
    assert "Softmax" not in kinds(graph)
    assert np.abs(before).max() > 0.1
    assert np.abs(answers(graph, inputs)[real] - before).max() < 1e-5


def test_attention_over_images_has_no_mask_and_is_fused(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    config.return_dict = False
    body = transformers.ViTModel(config, add_pooling_layer=False)
    pixels = {"pixel_values": np.random.default_rng(0).random((2, 3, 32, 32), np.float32)}
    graph = export(body, pixels, tmp_path / "model.onnx")
    before = answers(graph, pixels)
    assert fuse_attention(graph) == LAYERS
    assert np.abs(answers(graph, pixels) - before).max() < 1e-5


def test_other_uses_of_a_softmax_stay() -> None:
    scores = opset13.parameter([-1, 2, -1, -1], np.float32, name="scores")
    values = opset13.parameter([-1, 2, -1, 8], np.float32, name="values")
    weights = opset13.softmax(scores, -1)
    graph = ov.Model([opset13.matmul(weights, values, False, False), weights], [scores, values], "read twice")
    assert fuse_attention(graph) == 0
    assert "Softmax" in kinds(graph)
    over_rows = opset13.softmax(opset13.matmul(values, values, False, True), 2)
    assert fuse_attention(ov.Model([opset13.matmul(over_rows, values, False, False)], [values], "another axis")) == 0
    assert fuse_attention(ov.Core().read_model(ZOO / "fashion-resnet" / "model.onnx")) == 0
