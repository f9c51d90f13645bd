"""Texts become tokens as the folder says, and torch answers as transformers does."""

from __future__ import annotations

import inspect
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, processors

from models.detect import detect_spec
from models.errors import SpecInvalid
from models.locate import locate_model
from models.model import Encoded, OnLong, Options
from models.networks.build import build_network
from models.runtimes.eager import EagerRuntime
from models.runtimes.onnx_runtime import OnnxRuntime
from models.spec import InputColumn, ModelSpec
from models.tokenizer import FolderTokenizer
from models.transformer import TransformerModel
from models.window import run_window
from tests.models import tiny_folders as tiny
from tests.models.tiny_folders import CLS, LIMIT, SEP, TEXTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT classifier of three labels."""
    folder = tmp_path_factory.mktemp("bert")
    tiny.make_bert_classifier(folder)
    return folder


def load_eager(folder: Path, *, on_long: OnLong = "truncate", **changes: Any) -> TransformerModel:
    spec = detect_spec(folder, name="tiny").model_copy(update=changes)
    runtime = EagerRuntime(build_network(folder, spec), device="cpu")
    return TransformerModel(folder=folder, spec=spec, runtime=runtime, options=Options(on_long=on_long))


def raw_answers(model: TransformerModel, values: Any) -> Any:
    encoded = model.encode(values)
    return next(iter(run_window(model, encoded).outputs.arrays.values()))


def ids_of(encoded: Encoded) -> list[list[int]]:
    return [ids.tolist() for ids in encoded.features["input_ids"]]


def reference(folder: Path, network: Any, text: str) -> Any:
    """What transformers itself makes of one text: tokenizer and network, without any of ours."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    takes = inspect.signature(network.forward).parameters
    inputs = tokenizer([text], return_tensors="pt", truncation=True, max_length=LIMIT)
    with torch.no_grad():
        return network(**{name: tensor for name, tensor in inputs.items() if name in takes})


def test_a_classifier_answers_as_transformers_does(folder: Path) -> None:
    network = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    answers = raw_answers(load_eager(folder), TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        np.testing.assert_allclose(answer, reference(folder, network, text).logits[0].numpy(), atol=1e-5)


def test_labels_and_scores_are_those_of_transformers_pipeline(folder: Path) -> None:
    pipeline = transformers.pipeline("text-classification", model=str(folder), truncation=True, max_length=LIMIT)
    for found, expected in zip(load_eager(folder).predict(TEXTS), pipeline(TEXTS), strict=True):
        assert found["label"] == expected["label"]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)


def test_an_encoder_without_a_pooling_is_pooled_by_the_mean(tmp_path: Path) -> None:
    network = tiny.make_roberta_embedder(tmp_path)
    model = load_eager(tmp_path)
    assert model.spec.max_length == LIMIT  # 26 positions, of which two are before the first token
    for text, answer in zip(TEXTS, raw_answers(model, TEXTS), strict=True):
        vectors = reference(tmp_path, network, text).last_hidden_state[0]
        np.testing.assert_allclose(answer, vectors.mean(dim=0).numpy(), atol=1e-5)


def test_a_sentence_transformers_folder_is_followed_step_by_step(tmp_path: Path) -> None:
    network, linear = tiny.make_sentence_transformer(tmp_path)
    model = load_eager(tmp_path)
    assert (model.spec.dimension, model.spec.max_length, model.spec.normalize) == (8, 12, True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = ["  THE Cat ", "dog", TEXTS[-1]]
    for text, row in zip(texts, model.predict(texts), strict=True):
        inputs = tokenizer(["news of " + text.strip().lower()], return_tensors="pt", truncation=True, max_length=12)
        with torch.no_grad():
            vectors = network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
            pooled = torch.cat([vectors[:, 0], vectors.mean(dim=1)], dim=1)
            expected = torch.nn.functional.normalize(torch.tanh(linear(pooled)))[0]
        np.testing.assert_allclose(row["embedding"], expected.numpy(), atol=1e-5)


def test_several_labels_are_answered_each_by_itself(tmp_path: Path) -> None:
    config = tiny.distilbert(problem_type="multi_label_classification", num_labels=3)
    tiny.save_tokenizer(tmp_path)
    network = tiny.save_network(tmp_path, transformers.DistilBertForSequenceClassification(config))
    model = load_eager(tmp_path)
    assert model.spec.task == "text-multi-label-classification"
    for text, row in zip(TEXTS, model.predict(TEXTS), strict=True):
        logits = reference(tmp_path, network, text).logits[0].tolist()
        expected = {f"LABEL_{i}": 1 / (1 + math.exp(-value)) for i, value in enumerate(logits)}
        assert dict(row["scores"]) == pytest.approx(expected, abs=1e-5)
        assert set(row["labels"]) == {name for name, score in expected.items() if score >= 0.5}


def test_a_row_is_answered_alike_alone_and_among_others(folder: Path) -> None:
    model = load_eager(folder)
    together = raw_answers(model, TEXTS)
    for text, answer in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(raw_answers(model, [text])[0], answer, atol=1e-5)


def test_rows_are_padded_with_the_tokenizers_own_token_under_a_mask(tmp_path: Path) -> None:
    tiny.make_roberta_embedder(tmp_path)
    model = load_eager(tmp_path)
    batch = model.collate(model.encode(["the cat", ""]), np.arange(2))
    assert batch.inputs["input_ids"][1].tolist() == [CLS, SEP, 1, 1]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert "token_type_ids" not in batch.inputs
    assert (batch.rows, batch.padded) == (2, 8)


def test_a_text_that_is_cut_off_is_flagged_and_keeps_its_special_tokens(folder: Path) -> None:
    encoded = load_eager(folder).encode(["the cat", "dog " * 100])
    assert encoded.truncated.tolist() == [False, True]
    assert [len(ids) for ids in ids_of(encoded)] == [4, LIMIT]
    assert ids_of(encoded)[1][0] == CLS
    assert ids_of(encoded)[1][-1] == SEP


def test_a_text_of_exactly_the_limit_is_not_flagged(folder: Path) -> None:
    encoded = load_eager(folder).encode(["dog " * (LIMIT - 2), "dog " * (LIMIT - 1)])
    assert encoded.truncated.tolist() == [False, True]


def test_the_beginning_is_cut_off_where_the_folder_says_so(tmp_path: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    tiny.edit_json(tmp_path / "tokenizer_config.json", truncation_side="left")
    text = "cat " + "dog " * 40 + "film"
    expected = transformers.AutoTokenizer.from_pretrained(tmp_path)(text, truncation=True, max_length=LIMIT)
    assert ids_of(load_eager(tmp_path).encode([text])) == [expected["input_ids"]]


def test_on_long_error_makes_an_error_row_that_names_tokens_and_limit(folder: Path) -> None:
    rows = load_eager(folder, on_long="error").predict(["the cat", "dog " * 40, "a dog"])
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert rows[1]["error"]["class"] == "TooLong"
    assert rows[1]["error"]["message"] == f"the text has 42 tokens, the model takes {LIMIT}"
    assert not rows[1]["truncated"]


def test_on_long_chunk_answers_every_token_once(folder: Path) -> None:
    text = " ".join(tiny.WORDS[i % 14] for i in range(60))
    model = load_eager(folder, on_long="chunk")
    encoded = model.encode(["the cat", text])
    whole = [i for i in transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"] if i not in (CLS, SEP)]
    windows = ids_of(encoded)[1:]
    assert [i for window in windows for i in window[1:-1]] == whole
    assert {(window[0], window[-1]) for window in windows} == {(CLS, SEP)}
    assert [len(window) for window in windows[:-1]] == [LIMIT] * (len(windows) - 1)
    assert encoded.piece_rows.tolist() == [0] + [1] * len(windows)
    assert not encoded.truncated.any()
    assert model.predict([text])[0]["label"] in model.spec.labels


def test_what_is_no_text_is_an_error_row_and_an_empty_text_is_none(folder: Path) -> None:
    values = ["", None, 3, b"bytes", math.nan, pd.NA, ["a"], "the cat"]
    rows = load_eager(folder).predict(values)
    found = [row["error"] and row["error"]["class"] for row in rows]
    assert found == [None, "NullValue", "WrongType", "WrongType", "NullValue", "NullValue", "WrongType", None]
    assert rows[2]["error"]["message"] == "expected text, found int 3"


def test_half_a_surrogate_pair_leaves_its_neighbours_alone(folder: Path) -> None:
    rows = load_eager(folder).predict(["the cat", "news \ud800", "a dog"])
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert "half a surrogate pair" in rows[1]["error"]["message"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["the cat", None, "dog"]),
        pa.array(["the cat", None, "dog"], pa.large_string()),
        pa.array(["the cat", None, "dog"]).dictionary_encode(),
        pa.chunked_array([["the cat"], [None, "dog"], []], pa.string()),
        np.array(["the cat", None, "dog"], dtype=object),
        pd.Series(["the cat", None, "dog"]),
    ],
    ids=["string", "large_string", "dictionary", "chunked", "numpy", "pandas"],
)
def test_any_column_of_texts_is_encoded_alike(folder: Path, column: Any) -> None:
    encoded = load_eager(folder).encode(column)
    assert ids_of(encoded) == ids_of(load_eager(folder).encode(["the cat", "dog"]))
    assert encoded.piece_rows.tolist() == [0, 2]
    assert list(encoded.faults) == [1]


def test_no_rows_are_answered_with_no_rows(folder: Path) -> None:
    model = load_eager(folder)
    answers = model.predict_values(pa.array([], pa.string()))
    assert (answers.num_rows, answers.schema) == (0, model.schema)


@pytest.mark.parametrize("text", ["the cat and ", "東京", "x", "über 😀\n", "\u0000a\u202e"])
def test_a_text_of_100000_characters_is_encoded_within_seconds(folder: Path, text: str) -> None:
    long = text * (100_000 // len(text))
    model = load_eager(folder)
    start = time.perf_counter()
    encoded = model.encode([long] * 4)
    assert time.perf_counter() - start < 8
    expected = transformers.AutoTokenizer.from_pretrained(folder)(long, truncation=True, max_length=LIMIT)["input_ids"]
    assert ids_of(encoded) == [expected] * 4


def test_an_empty_text_has_an_answer_where_the_tokenizer_adds_nothing(tmp_path: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    rows = load_eager(tmp_path).predict(["", "the cat"])
    assert [row["error"] for row in rows] == [None, None]


def test_token_types_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    tiny.make_bert_classifier(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = load_eager(tmp_path)
    batch = model.collate(model.encode(["cat", ""]), np.arange(2))
    assert batch.inputs["token_type_ids"].tolist() == [[0, 1, 1], [0, 1, 0]]


def token_graph(path: Path, table: Any, *, output: str) -> None:
    """An ONNX file as users bring it: a vector for each token, no pooling, int32 ids, a mask that it ignores."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], [output])],
        "user",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["rows", "length"])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", "length", table.shape[1]])],
        [numpy_helper.from_array(table, "table")],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_token_vectors_of_a_users_graph_are_pooled_as_its_spec_says(tmp_path: Path, pooling: Any) -> None:
    table = np.random.default_rng(0).standard_normal((len(tiny.VOCABULARY), 5)).astype(np.float32)
    table[0] = 1e6  # padding
    tiny.save_tokenizer(tmp_path)
    token_graph(tmp_path / "model.onnx", table, output="last_hidden_state")
    model = user_model(tmp_path, pooling=pooling)
    texts = ["the cat", "a dog of the bank", ""]
    pools = {"mean": lambda rows: rows.mean(axis=0), "cls": lambda rows: rows[0], "max": lambda rows: rows.max(axis=0)}
    for answer, ids in zip(raw_answers(model, texts), ids_of(model.encode(texts)), strict=True):
        np.testing.assert_allclose(answer, pools[pooling](table[ids]), atol=1e-6)


def test_a_graph_without_a_fitting_output_is_refused_with_what_to_write(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    token_graph(tmp_path / "model.onnx", np.zeros((len(tiny.VOCABULARY), 5), np.float32), output="states")
    with pytest.raises(SpecInvalid, match=r"states of shape \(1, 4, 5\).*pooling: mean"):
        user_model(tmp_path).predict(["the cat"])


def user_model(folder: Path, **settings: Any) -> TransformerModel:
    spec = ModelSpec(
        name="user",
        family="transformer",
        task="text-embedding",
        dimension=5,
        inputs=(InputColumn(name="text", kind="text"),),
        max_length=LIMIT,
        **settings,
    )
    return TransformerModel(folder=folder, spec=spec, runtime=OnnxRuntime(folder / "model.onnx", threads=1))


def test_a_folder_without_a_tokenizer_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    spec = detect_spec(folder, name="tiny")
    with pytest.raises(SpecInvalid, match=r"has no tokenizer.json\. Write one with"):
        TransformerModel(folder=tmp_path, spec=spec, runtime=EagerRuntime(torch.nn.Identity(), device="cpu"))


def test_a_limit_that_leaves_no_room_for_text_is_refused(folder: Path) -> None:
    with pytest.raises(SpecInvalid, match="max_length is 2, but 2 special tokens surround every text"):
        load_eager(folder, max_length=2)


@pytest.mark.parametrize(
    "unit", ["one two, three; ", "\u6771\u4eac\u306e\u682a\u4fa1", "word" * 40 + " ", " " * 50 + "a"]
)
def test_of_a_very_long_text_only_the_beginning_is_tokenised(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = unit * (2_000_000 // len(unit))
    tokenizer = FolderTokenizer(locate_model("bbc-bert").folder, max_length=64, on_long="truncate")
    assert len(tokenizer.beginning(text)) < 400_000
    (short,) = tokenizer.encode([text])
    monkeypatch.setattr("models.tokenizer.LONG_CHARACTERS", len(text))
    (whole,) = tokenizer.encode([text])
    assert short.ids == whole.ids
    assert short.overflowing


def test_a_very_long_text_of_few_tokens_is_read_to_its_end() -> None:
    text = " " * 300_000 + "goal"
    tokenizer = FolderTokenizer(locate_model("bbc-bert").folder, max_length=64, on_long="truncate")
    (found,) = tokenizer.encode([text])
    assert found.ids == tokenizer.encode(["goal"])[0].ids
