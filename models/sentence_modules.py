"""What a sentence-transformers folder does after the transformer: pooling, dense layers, normalisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import SpecInvalid, UnsupportedTask
from models.tokenizer import read_json, read_sentence_settings

#: In the order in which sentence-transformers joins them where a folder asks for several.
POOLINGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
SUPPORTED_POOLINGS = ("cls", "max", "mean")
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLayer:
    """A linear layer behind the pooling; its weights are in `folder`."""

    folder: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceModules:
    """The steps between token vectors and an embedding.

    Attributes:
        poolings: whose vectors are joined, in this order.
        dense: layers behind it.
        normalize: whether the embedding's length becomes 1 at the end.
    """

    poolings: tuple[str, ...] = ("mean",)
    dense: tuple[DenseLayer, ...] = ()
    normalize: bool = False


def read_sentence_modules(folder: Path) -> SentenceModules:
    """Read `modules.json` and what it names; a folder without it is pooled by the mean and not normalised.

    Raises:
        UnsupportedTask: a step or a pooling that is not supported, by its name.
        SpecInvalid: a file is missing or says something it may not.
    """
    path, steps = folder / "modules.json", read_steps(folder)
    poolings: tuple[str, ...] = ("mean",)
    dense: list[DenseLayer] = []
    normalize = False
    for position, (kind, place) in enumerate(steps):
        if kind == "Pooling" and position == 1:
            poolings = read_poolings(place)
            _, _, prompt = read_sentence_settings(folder)
            if prompt and read_json(place / "config.json").get("include_prompt") is False:
                raise UnsupportedTask(
                    str(path), task="pooling without the prompt's tokens", supported=SUPPORTED_POOLINGS
                )
        elif kind == "Dense" and position > 1:
            dense.append(read_dense(place))
        elif kind == "Normalize" and position == len(steps) - 1:
            normalize = True
        elif kind != "Transformer" or position != 0 or place.resolve() != folder.resolve():
            raise UnsupportedTask(
                str(path),
                task=f"module {kind} at place {position}",
                supported=["Transformer (in the folder itself), then Pooling, Dense, Normalize at the end"],
            )
    return SentenceModules(poolings=poolings, dense=tuple(dense), normalize=normalize)


def read_steps(folder: Path) -> list[tuple[str, Path]]:
    """The kind and folder of each step in `modules.json`; none where there is no such file.

    Raises:
        SpecInvalid: it is no list of modules, or names one outside the folder.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
        steps = [(str(item["type"]).rsplit(".", 1)[-1], folder / str(item["path"])) for item in items]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecInvalid(str(path), f"is no list of modules ({error})") from None
    for kind, place in steps:
        if not place.resolve().is_relative_to(folder.resolve()):
            raise SpecInvalid(str(path), f"names the module {kind} outside the folder: {place}")
    return steps


def read_poolings(place: Path) -> tuple[str, ...]:
    """The poolings that `1_Pooling/config.json` turns on, in either of the forms it has had."""
    path = place / "config.json"
    settings = read_json(path)
    mode = settings.get("pooling_mode")
    wanted = [mode] if isinstance(mode, str) else mode or [name for key, name in POOLINGS.items() if settings.get(key)]
    if unknown := [name for name in wanted if name not in SUPPORTED_POOLINGS]:
        raise UnsupportedTask(str(path), task=f"pooling {unknown[0]}", supported=SUPPORTED_POOLINGS)
    if not wanted:
        raise SpecInvalid(str(path), "turns no pooling on", remedy='Say "pooling_mode_mean_tokens": true there.')
    return tuple(wanted)


def read_dense(place: Path) -> DenseLayer:
    """A dense layer's shape and activation."""
    path = place / "config.json"
    settings: dict[str, Any] = read_json(path)
    activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    if activation not in ACTIVATIONS:
        raise UnsupportedTask(str(path), task=f"activation {activation}", supported=ACTIVATIONS)
    try:
        inputs, outputs = int(settings["in_features"]), int(settings["out_features"])
    except (KeyError, TypeError, ValueError):
        raise SpecInvalid(str(path), "expected the numbers in_features and out_features") from None
    return DenseLayer(
        folder=place, inputs=inputs, outputs=outputs, bias=bool(settings.get("bias", True)), activation=activation
    )
