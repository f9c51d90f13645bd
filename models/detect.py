"""What is this folder? Its family, task, labels and limits, read from its own files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.detect_preprocess import detect_preprocess
from models.errors import ArtifactRefused, SpecInvalid, UnsupportedTask
from models.sentence_modules import read_sentence_modules
from models.spec import SPEC_FILE, TASKS, InputColumn, ModelSpec, first_problem, read_spec
from models.tokenizer import TOKENIZER_FILE, read_json

#: transformers' `model_type`s that are convolutions; every other image classifier is a transformer.
CONVOLUTIONS = frozenset(
    {"bit", "convnext", "convnextv2", "efficientnet", "hgnet_v2", "mobilenet_v1", "mobilenet_v2"}
    | {"poolformer", "regnet", "resnet", "van"}
)
#: Their positions begin behind the padding token's id, so fewer tokens fit than there are position embeddings.
POSITIONS_BEHIND_PADDING = frozenset(
    {"camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "mpnet"}
    | {"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)
#: transformers' own names for tasks whose heads are called otherwise.
HEAD_TASKS = {
    "MaskedLM": "fill-mask",
    "CausalLM": "text-generation",
    "ConditionalGeneration": "text2text-generation",
}
#: tokenizer_config.json says 1e30 where nobody set a limit.
NO_LIMIT = 1_000_000


def detect_spec(folder: Path, *, name: str) -> ModelSpec:
    """Read what a folder holds: a tandem.yaml as it is, else a recurrent, EfficientNet-Lite or Hugging Face folder.

    Raises:
        UnsupportedTask: a task, head or architecture that no family answers, by its name.
        SpecInvalid: a file is missing, or says something that cannot be followed.
        ArtifactRefused: the folder asks for code of its own.
    """
    if (folder / SPEC_FILE).is_file():
        return read_spec(folder).model_copy(update={"name": name})
    path = folder / "config.json"
    if not path.is_file():
        raise SpecInvalid(
            str(folder), "has neither config.json nor tandem.yaml, so nothing says what it is",
            remedy="Name a Hugging Face folder, or put a tandem.yaml beside the ONNX file.",
        )  # fmt: skip
    config = read_json(path)
    try:
        if config.get("architecture") == "recurrent":
            return recurrent_spec(folder, name)
        if config.get("architecture") == "efficientnet-lite0":
            return build_spec(
                name, "cnn", "image-classification", architecture="efficientnet-lite0",
                labels=unique_labels(config.get("labels") or []), preprocess=detect_preprocess(folder),
            )  # fmt: skip
        return hugging_face_spec(folder, config, name)
    except ValidationError as error:
        raise SpecInvalid(str(path), first_problem(error)) from None


def build_spec(name: str, family: str, task: str, *, architecture: str, **settings: Any) -> ModelSpec:
    """A spec whose input column is called after what it holds: text, image or sequence."""
    kind = task.split("-", 1)[0]
    return ModelSpec.model_validate(
        {"name": name, "family": family, "task": task, "architecture": architecture, **settings}
        | {"inputs": (InputColumn.model_validate({"name": kind, "kind": kind}),)}
    )


def recurrent_spec(folder: Path, name: str) -> ModelSpec:
    """The spec of a recurrent model: it reads texts where it has a vocabulary, else sequences of numbers."""
    from models.networks.recurrent_config import read_config

    config = read_config(folder)
    task = "sequence-classification" if config.vocab_size is None else "text-classification"
    return build_spec(
        name, "rnn", task, architecture="recurrent", labels=config.labels, max_length=config.max_length
    )  # fmt: skip


def hugging_face_spec(folder: Path, config: Mapping[str, Any], name: str) -> ModelSpec:
    """The spec of a Hugging Face folder, by the head that its config.json names."""
    path = str(folder / "config.json")
    if config.get("auto_map"):
        raise ArtifactRefused(
            str(folder),
            file="config.json",
            why="its auto_map asks for code out of the model's repository",
            remedy="If transformers itself has this architecture, remove auto_map; else name a class of your own.",
        )
    task = detect_task(folder, config)
    kind = str(config.get("model_type", ""))
    if task == "image-classification":
        family = "cnn" if kind in CONVOLUTIONS else "transformer"
        return build_spec(
            name, family, task, architecture="hugging-face",
            labels=detect_labels(config), preprocess=detect_preprocess(folder),
        )  # fmt: skip
    if config.get("is_encoder_decoder"):
        raise UnsupportedTask(path, task=f"{task} by an encoder-decoder ({kind})", supported=TASKS)
    settings: dict[str, Any] = {"max_length": detect_max_length(folder, config)}
    if task == "text-embedding":
        modules = read_sentence_modules(folder)
        settings |= {"dimension": detect_dimension(config, path, folder), "normalize": modules.normalize}
    else:
        settings["labels"] = detect_labels(config)
        if len(settings["labels"]) < 2 or config.get("problem_type") == "regression":
            raise UnsupportedTask(path, task=f"regression ({len(settings['labels'])} label)", supported=TASKS)
    return build_spec(name, "transformer", task, architecture="hugging-face", **settings)


def detect_task(folder: Path, config: Mapping[str, Any]) -> str:
    """The task that the folder's head answers.

    Raises:
        UnsupportedTask: another one, by its name.
    """
    path = str(folder / "config.json")
    if (folder / "modules.json").is_file():
        return "text-embedding"
    architectures = config.get("architectures") or [""]
    head = str(architectures[0])
    if head.endswith("ForSequenceClassification"):
        several = config.get("problem_type") == "multi_label_classification"
        return "text-multi-label-classification" if several else "text-classification"
    if "ForImageClassification" in head:
        return "image-classification"
    if match := re.search(r"For([A-Z]\w*)$", head):
        words = "-".join(re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", match[1])).lower()
        raise UnsupportedTask(path, task=f"{HEAD_TASKS.get(match[1], words)} ({head})", supported=TASKS)
    if "LMHead" in head or "DoubleHeads" in head:
        raise UnsupportedTask(path, task=f"text-generation ({head})", supported=TASKS)
    if not head:
        raise SpecInvalid(
            path, "names no architectures, so its task is unknown", remedy='Add "architectures": ["..."] there.'
        )
    if not has_tokenizer(folder):
        raise UnsupportedTask(path, task=f"feature-extraction without a tokenizer ({head})", supported=TASKS)
    return "text-embedding"


def has_tokenizer(folder: Path) -> bool:
    names = (TOKENIZER_FILE, "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")
    return any((folder / name).is_file() for name in names)


def detect_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels in the order of the logits, as transformers reads them: two without names where there are none."""
    names = config.get("id2label")
    if isinstance(names, dict) and names:
        return unique_labels([names[key] for key in sorted(names, key=int)])
    count = config.get("num_labels", 2)
    return tuple(f"LABEL_{position}" for position in range(int(count)))


def unique_labels(names: list[Any]) -> tuple[str, ...]:
    """Labels that all differ: one that was there before gets its position behind it, such as `crane #517`."""
    labels: list[str] = []
    for position, name in enumerate(map(str, names)):
        labels.append(f"{name} #{position}" if name in labels else name)
    return tuple(labels)


def detect_dimension(config: Mapping[str, Any], path: str, folder: Path) -> int:
    """How long an embedding is: the last dense layer's, else the network's own, once for each pooling."""
    modules = read_sentence_modules(folder)
    if modules.dense:
        return modules.dense[-1].outputs
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        if isinstance(size := config.get(key), int):
            return size * len(modules.poolings)
    raise SpecInvalid(path, "says no hidden_size, so the embedding's length is unknown")


def detect_max_length(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The most tokens that the network takes, special ones included: the least that any of the files says."""
    if found := [limit for limit in token_limits(folder, config) if 0 < limit < NO_LIMIT]:
        return int(min(found))
    truncation = read_json(folder / TOKENIZER_FILE).get("truncation")
    return int(truncation["max_length"]) if truncation else None


def token_limits(folder: Path, config: Mapping[str, Any]) -> Iterator[float]:
    """Every limit that the folder's files state."""
    for name, key in (("tokenizer_config.json", "model_max_length"), ("sentence_bert_config.json", "max_seq_length")):
        if isinstance(limit := read_json(folder / name).get(key), int | float):
            yield limit
    behind = config.get("model_type") in POSITIONS_BEHIND_PADDING
    offset = int(config.get("pad_token_id") or 0) + 1 if behind else 0
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(positions := config.get(key), int):
            yield positions - offset
