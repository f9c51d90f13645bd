"""Hugging Face networks in torch: the originals that the ONNX exports are checked against."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import SpecInvalid
from models.sentence_modules import DenseLayer, SentenceModules, read_sentence_modules
from models.spec import ModelSpec


class Classifier(nn.Module):
    """A network with a classification head, of texts or images: named inputs to `logits`, (rows, labels)."""

    def __init__(self, body: nn.Module, *, input_names: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.input_names = body, input_names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(**inputs).logits}


class Embedder(nn.Module):
    """A text encoder, its pooling and dense layers: `input_ids` and `attention_mask` to `embedding`, (rows, dim).

    Where the folder names no pooling, the mean over the real tokens is taken.
    """

    def __init__(self, body: nn.Module, modules: SentenceModules, *, input_names: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.input_names, self.poolings = body, input_names, modules.poolings
        self.dense = nn.Sequential(*[part for layer in modules.dense for part in load_dense(layer)])

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        vectors = self.body(**inputs).last_hidden_state
        real = inputs["attention_mask"][:, :, None] > 0
        pooled = torch.cat([pool(vectors, real, name) for name in self.poolings], dim=1)
        return {"embedding": self.dense(pooled)}


def pool(vectors: Tensor, real: Tensor, pooling: str) -> Tensor:
    """Vectors of tokens, (rows, length, dim), to one of each row; `real` is (rows, length, 1)."""
    if pooling == "cls":
        return vectors[:, 0]
    if pooling == "max":
        return vectors.masked_fill(~real, torch.finfo(vectors.dtype).min).amax(dim=1)
    weights = real.to(vectors.dtype)
    return (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def load_dense(layer: DenseLayer) -> tuple[nn.Module, nn.Module]:
    """A dense layer of a sentence-transformers folder, with its activation."""
    linear = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
    path = layer.folder / "model.safetensors"
    if not path.is_file():
        raise SpecInvalid(str(layer.folder), f"has no {path.name}", remedy="Save the model with safetensors.")
    weights = {name.removeprefix("linear."): weight.float() for name, weight in load_file(path).items()}
    try:
        linear.load_state_dict(weights)
    except RuntimeError as error:
        raise SpecInvalid(str(path), f"does not fit its config.json ({str(error).splitlines()[-1].strip()})") from None
    return linear, getattr(nn, layer.activation)()


def load_hugging_face(folder: Path, spec: ModelSpec) -> nn.Module:
    """Load a folder's safetensors into transformers' own class, in float32 and ready to answer.

    Nothing is fetched and no code of the folder is run. Weights that the folder lacks are an error: transformers
    would make them up.

    Raises:
        SpecInvalid: no safetensors, weights that do not fit, or an architecture that transformers does not know.
    """
    from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

    if not list(folder.glob("*.safetensors")):
        raise SpecInvalid(
            str(folder),
            "has no weights as safetensors",
            remedy="model.save_pretrained(FOLDER) writes model.safetensors.",
        )
    loader: Any = AutoModelForSequenceClassification
    if spec.task == "text-embedding":
        loader = AutoModel
    elif spec.task == "image-classification":
        loader = AutoModelForImageClassification
    with quiet_transformers():
        try:
            body, info = loader.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises OSError, ValueError, KeyError, RuntimeError, ...
            raise SpecInvalid(str(folder), f"transformers cannot load it ({first_line(error)})") from None
    check_loaded(folder, spec, info)
    body.eval()
    if spec.task == "text-embedding":
        network: nn.Module = Embedder(body, read_sentence_modules(folder), input_names=text_inputs(body))
    else:
        names = ("pixel_values",) if spec.task == "image-classification" else text_inputs(body)
        network = Classifier(body, input_names=names)
    return network.eval()


def text_inputs(body: Any) -> tuple[str, ...]:
    """The inputs of a text network; the type of each token only where it tells types apart."""
    takes = inspect.signature(body.forward).parameters
    types = getattr(body.config, "type_vocab_size", 0) > 1 or body.config.model_type == "xlnet"
    return ("input_ids", "attention_mask", *(["token_type_ids"] if types and "token_type_ids" in takes else []))


def check_loaded(folder: Path, spec: ModelSpec, info: dict[str, Any]) -> None:
    """Refuse weights that transformers had to make up. An embedding never uses the pooler, which many folders lack.

    Raises:
        SpecInvalid: names the weights.
    """
    pooler_is_unused = spec.task == "text-embedding"
    missing = sorted(
        name for name in info.get("missing_keys", ()) if not (pooler_is_unused and name.startswith("pooler."))
    )
    wrong = [str(item[0] if isinstance(item, tuple) else item) for item in info.get("mismatched_keys", ())]
    if missing or wrong:
        what = f"lacks the weights {', '.join(missing[:3])}" if missing else f"has weights of another shape: {wrong[0]}"
        raise SpecInvalid(
            str(folder), f"{what}; they would be random", remedy="Was it saved with the head that config.json names?"
        )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Neither progress bars nor reports on a screen that is not transformers' own."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def first_line(error: Exception) -> str:
    """An error of a library in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
