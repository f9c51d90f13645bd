"""A model's folder -> its network in torch, ready to answer."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from models.errors import RuntimeUnavailable
from models.spec import ModelSpec


class Named(nn.Module):
    """A network of ours that returns logits, under the names that every runtime uses."""

    def __init__(self, body: nn.Module, *, input_names: tuple[str, ...]) -> None:
        super().__init__()
        self.body, self.input_names = body, input_names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(*(inputs[name] for name in self.input_names))}


def build_network(folder: Path, spec: ModelSpec) -> nn.Module:
    """Load the folder's weights into the network that the spec names, in float32 and eval mode.

    Returns:
        A module with `input_names`, whose `forward(**inputs)` takes tensors by these names and returns `logits` or
        `embedding` by name.

    Raises:
        SpecInvalid: weights and configuration do not fit.
        RuntimeUnavailable: the artifact is an ONNX file only.
    """
    if spec.architecture == "hugging-face":
        from models.networks.hugging_face import load_hugging_face

        return load_hugging_face(folder, spec)
    if spec.architecture == "recurrent":
        from models.networks.recurrent import load_classifier

        return Named(load_classifier(folder), input_names=("inputs", "lengths")).eval()
    if spec.architecture == "efficientnet-lite0":
        from models.networks.efficientnet_lite import load_efficientnet_lite0

        return Named(load_efficientnet_lite0(folder), input_names=("pixel_values",)).eval()
    raise RuntimeUnavailable("torch", why=f"{spec.name} is an ONNX file only", available=["onnx"])
