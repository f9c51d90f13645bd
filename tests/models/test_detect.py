"""A folder's own files say what it is; what no family answers is refused by its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from models.detect import detect_spec, unique_labels
from models.errors import ArtifactRefused, ModelError, SpecInvalid, UnsupportedTask
from models.images import encode_images
from models.spec import TASKS, InputColumn, ModelSpec, write_spec
from tests.models.tiny_folders import edit_json, write_json

BERT = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 16}


def write_folder(folder: Path, config: dict[str, Any], **tokenizer: Any) -> Path:
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer_config.json", tokenizer)
    return folder


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"architectures": ["BertForTokenClassification"]}, "token-classification"),
        ({"architectures": ["RobertaForQuestionAnswering"]}, "question-answering"),
        ({"architectures": ["BertForMaskedLM"]}, "fill-mask"),
        ({"architectures": ["LlamaForCausalLM"]}, "text-generation"),
        ({"architectures": ["GPT2LMHeadModel"]}, "text-generation"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "text2text-generation"),
        ({"architectures": ["BertForMultipleChoice"]}, "multiple-choice"),
        ({"architectures": ["BertForNextSentencePrediction"]}, "next-sentence-prediction"),
        ({"architectures": ["DetrForObjectDetection"]}, "object-detection"),
        ({"architectures": ["ViTModel"]}, "feature-extraction without a tokenizer"),
        ({**BERT, "id2label": {"0": "LABEL_0"}}, "regression"),
        ({**BERT, "problem_type": "regression", "num_labels": 3}, "regression"),
        ({**BERT, "architectures": ["BartForSequenceClassification"], "is_encoder_decoder": True}, "encoder-decoder"),
        ({"architectures": ["T5Model"], "is_encoder_decoder": True}, "encoder-decoder"),
    ],
)
def test_a_task_that_no_family_answers_is_refused_by_name(tmp_path: Path, config: dict[str, Any], task: str) -> None:
    write_json(tmp_path / "config.json", config)
    if task == "encoder-decoder":
        write_json(tmp_path / "tokenizer_config.json", {})
    with pytest.raises(UnsupportedTask) as error:
        detect_spec(tmp_path, name="x")
    assert task in str(error.value)
    assert all(supported in str(error.value) for supported in TASKS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (BERT, "text-classification"),
        ({**BERT, "problem_type": "single_label_classification"}, "text-classification"),
        ({**BERT, "problem_type": "multi_label_classification"}, "text-multi-label-classification"),
        ({**BERT, "architectures": ["BertModel"]}, "text-embedding"),
    ],
)
def test_the_head_says_the_task(tmp_path: Path, config: dict[str, Any], task: str) -> None:
    spec = detect_spec(write_folder(tmp_path, config), name="x")
    assert (spec.family, spec.task, spec.column) == ("transformer", task, "text")


def test_a_sentence_transformers_folder_is_an_embedding_whatever_its_head(tmp_path: Path) -> None:
    config = {"architectures": ["MPNetForMaskedLM"], "model_type": "mpnet", "hidden_size": 16}
    write_folder(tmp_path, config)
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    write_json(tmp_path / "modules.json", modules)
    spec = detect_spec(tmp_path, name="x")
    assert (spec.task, spec.dimension, spec.normalize) == ("text-embedding", 16, False)
    write_json(
        tmp_path / "modules.json",
        [*modules, {"type": "x.Pooling", "path": "1_Pooling"}, {"type": "x.Normalize", "path": "2"}],
    )
    write_json(tmp_path / "1_Pooling/config.json", {"pooling_mode": ["cls", "max"]})
    spec = detect_spec(tmp_path, name="x")
    assert (spec.dimension, spec.normalize) == (32, True)


@pytest.mark.parametrize(
    ("steps", "pooling", "message"),
    [
        (["Transformer", "Pooling"], {"pooling_mode_lasttoken": True}, "pooling lasttoken"),
        (["Transformer", "Pooling"], {"pooling_mode_weightedmean_tokens": True}, "pooling weightedmean"),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": False}, "turns no pooling on"),
        (["Transformer", "Pooling", "LSTM"], {"pooling_mode": "mean"}, "module LSTM at place 2"),
        (["StaticEmbedding"], {}, "module StaticEmbedding at place 0"),
        (["Transformer", "Dense", "Pooling"], {}, "module Dense at place 1"),
    ],
)
def test_a_step_of_sentence_transformers_that_is_not_ours_is_refused_by_name(
    tmp_path: Path, steps: list[str], pooling: dict[str, Any], message: str
) -> None:
    write_folder(tmp_path, {**BERT, "architectures": ["BertModel"]})
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{i}_{kind}" if i else ""}
        for i, kind in enumerate(steps)
    ]
    write_json(tmp_path / "modules.json", modules)
    write_json(tmp_path / "1_Pooling/config.json", pooling)
    with pytest.raises(ModelError, match=message):
        detect_spec(tmp_path, name="x")


def test_a_prompt_that_is_left_out_of_the_pooling_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {**BERT, "architectures": ["BertModel"]})
    write_json(tmp_path / "modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1"}])
    write_json(tmp_path / "1/config.json", {"pooling_mode": "mean", "include_prompt": False})
    assert detect_spec(tmp_path, name="x").dimension == 16
    prompts = {"prompts": {"query": "find: "}, "default_prompt_name": "query"}
    write_json(tmp_path / "config_sentence_transformers.json", prompts)
    with pytest.raises(UnsupportedTask, match="pooling without the prompt's tokens"):
        detect_spec(tmp_path, name="x")


def test_a_module_outside_the_folder_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", BERT)
    write_json(
        tmp_path / "model/modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": ".."}]
    )
    with pytest.raises(SpecInvalid, match="names the module Pooling outside the folder"):
        detect_spec(tmp_path / "model", name="x")


def test_code_of_the_folders_own_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {**BERT, "auto_map": {"AutoModel": "modeling.Own"}})
    with pytest.raises(ArtifactRefused, match=r"config\.json is refused: its auto_map asks for code"):
        detect_spec(tmp_path, name="x")


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"config": {"max_position_embeddings": 512}}, 512),
        ({"config": {"max_position_embeddings": 512}, "tokenizer": {"model_max_length": 128}}, 128),
        ({"config": {"max_position_embeddings": 512}, "tokenizer": {"model_max_length": 10**30}}, 512),
        ({"config": {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}}, 512),
        ({"config": {"max_position_embeddings": 512}, "sentence": {"max_seq_length": 256}}, 256),
        ({"config": {"n_positions": 64}}, 64),
        ({"config": {}, "tokenizer.json": {"truncation": {"max_length": 99}}}, 99),
        ({"config": {}}, None),
    ],
)
def test_the_limit_is_the_least_that_any_file_says(tmp_path: Path, files: dict[str, Any], limit: int | None) -> None:
    write_folder(tmp_path, {**BERT, **files["config"]}, **files.get("tokenizer", {}))
    if "sentence" in files:
        write_json(tmp_path / "sentence_bert_config.json", files["sentence"])
    if "tokenizer.json" in files:
        write_json(tmp_path / "tokenizer.json", files["tokenizer.json"])
    assert detect_spec(tmp_path, name="x").max_length == limit


def test_labels_stand_in_the_order_of_the_logits_and_differ(tmp_path: Path) -> None:
    labels = {str(i): f"label {i}" for i in reversed(range(12))} | {"3": "crane", "11": "crane"}
    spec = detect_spec(write_folder(tmp_path, {**BERT, "id2label": labels}), name="x")
    assert spec.labels[:3] == ("label 0", "label 1", "label 2")
    assert (spec.labels[3], spec.labels[11]) == ("crane", "crane #11")
    assert unique_labels(["a", "b"]) == ("a", "b")


def test_labels_without_names_are_two(tmp_path: Path) -> None:
    assert detect_spec(write_folder(tmp_path, BERT), name="x").labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    ("kind", "head", "family"),
    [
        ("resnet", "ResNetForImageClassification", "cnn"),
        ("convnextv2", "ConvNextV2ForImageClassification", "cnn"),
        ("mobilenet_v2", "MobileNetV2ForImageClassification", "cnn"),
        ("vit", "ViTForImageClassification", "transformer"),
        ("swin", "SwinForImageClassification", "transformer"),
        ("deit", "DeiTForImageClassificationWithTeacher", "transformer"),
    ],
)
def test_image_classifiers_are_convolutions_or_transformers(tmp_path: Path, kind: str, head: str, family: str) -> None:
    write_json(tmp_path / "config.json", {"architectures": [head], "model_type": kind})
    write_json(tmp_path / "preprocessor_config.json", {"image_processor_type": "ViTImageProcessor", "size": 32})
    spec = detect_spec(tmp_path, name="x")
    assert (spec.family, spec.task, spec.column) == (family, "image-classification", "image")


IMAGES = [Image.fromarray(np.random.default_rng(7).integers(0, 255, (h, w, 3), np.uint8)).resize((w * 5, h * 5), 3)
          for h, w in ((20, 30), (16, 16), (31, 11))]  # fmt: skip


@pytest.mark.parametrize(
    "processor",
    [
        transformers.ViTImageProcessor(size={"height": 32, "width": 48}),
        transformers.ViTImageProcessor(do_normalize=False, size={"height": 32, "width": 32}, resample=3),
        transformers.DeiTImageProcessor(size={"height": 40, "width": 40}, crop_size={"height": 32, "width": 32}),
        transformers.BeitImageProcessor(size={"height": 32, "width": 32}, do_rescale=False),
        transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
        transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.9),
        transformers.ConvNextImageProcessor(size={"shortest_edge": 384}),
        transformers.EfficientNetImageProcessor(size={"height": 32, "width": 32}),
        transformers.EfficientNetImageProcessor(
            size={"height": 32, "width": 32}, rescale_offset=True, include_top=False
        ),
        transformers.LevitImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        transformers.MobileNetV1ImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
        transformers.PoolFormerImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        transformers.PvtImageProcessor(size={"height": 32, "width": 32}),
        transformers.SiglipImageProcessor(size={"height": 32, "width": 32}),
    ],
    ids=lambda processor: type(processor).__name__,
)
def test_images_become_the_numbers_of_transformers_processor(tmp_path: Path, processor: Any) -> None:
    processor.save_pretrained(tmp_path)
    write_json(tmp_path / "config.json", {"architectures": ["ViTForImageClassification"], "model_type": "vit"})
    spec = detect_spec(tmp_path, name="x")
    assert spec.preprocess is not None
    encoded = encode_images([to_png(image) for image in IMAGES], spec.preprocess)
    for image, found in zip(IMAGES, encoded.features["pixel_values"], strict=True):
        expected = processor(image, return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)


def to_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("settings", "resize", "crop"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224}, (224, 224), None),
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875}, 256, (224, 224)),
        ({"image_processor_type": "CLIPImageProcessorFast", "size": 224, "crop_size": 224}, 224, (224, 224)),
        ({"image_processor_type": "ViTImageProcessor", "size": 224, "do_resize": False}, None, None),
    ],
)
def test_sizes_are_read_in_every_form_they_have_had(tmp_path: Path, settings: Any, resize: Any, crop: Any) -> None:
    write_json(tmp_path / "preprocessor_config.json", settings)
    write_json(tmp_path / "config.json", {"architectures": ["ViTForImageClassification"], "model_type": "vit"})
    preprocess = detect_spec(tmp_path, name="x").preprocess
    assert preprocess is not None
    assert (preprocess.resize, preprocess.crop) == (resize, crop)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, r"has no preprocessor_config\.json"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "image processor 'MobileViTImageProcessor'"),
        ({}, "image processor ''"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}}, "expected a size as 224"),
    ],
)
def test_a_processor_that_cannot_be_followed_is_refused(tmp_path: Path, settings: Any, message: str) -> None:
    write_json(tmp_path / "config.json", {"architectures": ["ViTForImageClassification"], "model_type": "vit"})
    if settings is not None:
        write_json(tmp_path / "preprocessor_config.json", settings)
    with pytest.raises(ModelError, match=message):
        detect_spec(tmp_path, name="x")


def test_recurrent_and_efficientnet_folders_are_told_by_their_architecture(tmp_path: Path) -> None:
    recurrent = {"architecture": "recurrent", "cell": "gru", "input_size": 3, "hidden_size": 4, "labels": ["a", "b"]}
    write_json(tmp_path / "config.json", recurrent)
    spec = detect_spec(tmp_path, name="x")
    assert (spec.family, spec.task, spec.column, spec.labels) == (
        "rnn",
        "sequence-classification",
        "sequence",
        ("a", "b"),
    )
    edit_json(tmp_path / "config.json", vocab_size=9)
    assert detect_spec(tmp_path, name="x").task == "text-classification"
    write_json(tmp_path / "config.json", {"architecture": "efficientnet-lite0", "labels": ["crane", "crane"]})
    write_json(tmp_path / "preprocessor_config.json", {"image_processor_type": "ViTImageProcessor"})
    spec = detect_spec(tmp_path, name="x")
    assert (spec.family, spec.architecture, spec.labels) == ("cnn", "efficientnet-lite0", ("crane", "crane #1"))


def test_a_tandem_yaml_is_taken_as_it_is_under_the_new_name(tmp_path: Path) -> None:
    spec = ModelSpec(
        name="old", family="transformer", task="text-embedding", dimension=4, tolerance=0.01,
        inputs=(InputColumn(name="body", kind="text"),),
    )  # fmt: skip
    write_spec(spec, tmp_path)
    assert detect_spec(tmp_path, name="new") == spec.model_copy(update={"name": "new"})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has neither config\.json nor tandem\.yaml"),
        ({"config.json": "{"}, "is not JSON"),
        ({"config.json": "[]"}, "expected a JSON object, found list"),
        ({"config.json": '{"model_type": "bert"}'}, "names no architectures"),
        ({"config.json": '{"architectures": ["BertModel"]}', "vocab.txt": ""}, "says no hidden_size"),
    ],
)
def test_a_folder_that_says_nothing_is_refused_in_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(SpecInvalid, match=message) as error:
        detect_spec(tmp_path, name="x")
    assert "\n" not in str(error.value)


def test_a_name_that_no_store_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match="name: String should match pattern"):
        detect_spec(write_folder(tmp_path, BERT), name="My Model")
