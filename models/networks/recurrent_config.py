"""RecurrentConfig: the shape of a recurrent network, read from the config.json in its folder; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from models.errors import SpecInvalid
from models.spec import first_problem

CONFIG_FILE = "config.json"
Cell = Literal["lstm", "gru", "rnn"]
Readout = Literal["last", "mean", "max"]

#: How many gates a cell has: its weight matrices are that many times `hidden_size` high.
GATES: Mapping[str, int] = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalize:
    """The mean and standard deviation of each number of a step, over the training data."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std has {len(self.std)}; they must be as many")
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(self.std)) or min(self.std, default=1.0) <= 0:
            raise ValueError("mean and std must be finite, and every std above 0")

    def apply(self, steps: NDArray[Any]) -> NDArray[np.float32]:
        """(..., input_size) numbers to (..., input_size) float32 of mean 0 and deviation 1."""
        normalized: NDArray[np.float32] = ((steps - np.asarray(self.mean)) / np.asarray(self.std)).astype(np.float32)
        return normalized


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentConfig:
    """A recurrent classifier: what a step is, how it is carried on, and what is read out at the end.

    A text has `vocab_size`; its steps are token ids, embedded in `input_size` dimensions first. Without it a step is
    `input_size` numbers. The weights' names and shapes follow: see `weight_shapes`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    architecture: Literal["recurrent"] = "recurrent"
    cell: Cell
    input_size: int
    hidden_size: int
    labels: tuple[str, ...]
    num_layers: int = 1
    bidirectional: bool = False
    readout: Readout = "last"
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    vocab_size: int | None = None
    normalize: Normalize | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "vocab_size", "max_length"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels must be two or more that all differ, found {list(self.labels)[:9]}")
        if self.nonlinearity == "relu" and self.cell != "rnn":
            raise ValueError(f"nonlinearity 'relu' is for the cell 'rnn' only, found cell {self.cell!r}")
        if self.normalize is not None and self.vocab_size is not None:
            raise ValueError("normalize is for steps of numbers, and vocab_size is for text: only one of them can be")
        if self.normalize is not None and len(self.normalize.mean) != self.input_size:
            raise ValueError(f"normalize has {len(self.normalize.mean)} numbers, input_size is {self.input_size}")

    @property
    def directions(self) -> int:
        """1, or 2 where the sequence is also read from its end."""
        return 2 if self.bidirectional else 1


def read_config(folder: Path) -> RecurrentConfig:
    """Read `config.json` of a recurrent model's folder.

    Raises:
        SpecInvalid: the file is missing, is no JSON, or breaks a rule; the message names the key.
    """
    path = folder / CONFIG_FILE
    try:
        return parse_config(path.read_bytes(), where=str(path))
    except FileNotFoundError:
        raise SpecInvalid(
            str(folder),
            f"has no {CONFIG_FILE}",
            remedy='A recurrent model has one that starts {"architecture": "recurrent", "cell": "lstm", ...}.',
        ) from None


def parse_config(text: str | bytes, *, where: str) -> RecurrentConfig:
    """Check the content of a config.json; `where` opens the error's message."""
    try:
        return TypeAdapter(RecurrentConfig).validate_json(text, strict=True)
    except ValidationError as error:
        raise SpecInvalid(where, first_problem(error)) from None


def dump_config(config: RecurrentConfig) -> str:
    """The text of a config.json, which `parse_config` reads back as the same."""
    return TypeAdapter(RecurrentConfig).dump_json(config, indent=2).decode() + "\n"


def weight_shapes(config: RecurrentConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array in model.safetensors, named as `torch.nn.LSTM` names them."""
    hidden, gates, shapes = config.hidden_size, GATES[config.cell] * config.hidden_size, dict[str, tuple[int, ...]]()
    if config.vocab_size is not None:
        shapes["embedding.weight"] = (config.vocab_size, config.input_size)
    for layer in range(config.num_layers):
        width = config.input_size if layer == 0 else hidden * config.directions
        for suffix in ("", "_reverse")[: config.directions]:
            shapes[f"rnn.weight_ih_l{layer}{suffix}"] = (gates, width)
            shapes[f"rnn.weight_hh_l{layer}{suffix}"] = (gates, hidden)
            shapes[f"rnn.bias_ih_l{layer}{suffix}"] = (gates,)
            shapes[f"rnn.bias_hh_l{layer}{suffix}"] = (gates,)
    shapes["head.weight"] = (len(config.labels), hidden * config.directions)
    shapes["head.bias"] = (len(config.labels),)
    return shapes


def check_weights(config: RecurrentConfig, found: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Compare the names and shapes found with those that the configuration asks for.

    Raises:
        SpecInvalid: an array is missing, is one too many, or has another shape; the message names it and both shapes.
    """
    expected = weight_shapes(config)
    if missing := sorted(expected.keys() - found.keys()):
        raise SpecInvalid(where, f"lacks {', '.join(missing[:4])}, which {CONFIG_FILE} asks for", remedy=SEE_CONFIG)
    if extra := sorted(found.keys() - expected.keys()):
        raise SpecInvalid(where, f"has {', '.join(extra[:4])}, which {CONFIG_FILE} has no place for", remedy=SEE_CONFIG)
    for name, shape in expected.items():
        if tuple(found[name]) != shape:
            raise SpecInvalid(where, f"{name} has shape {tuple(found[name])}, expected {shape}", remedy=SEE_CONFIG)


SEE_CONFIG = "Do cell, input_size, hidden_size, num_layers, bidirectional, vocab_size and labels fit the weights?"
