"""What an ONNX graph says of its inputs, for a model that comes without a configuration."""

from __future__ import annotations

from typing import Any


def input_names(runtime: Any) -> tuple[str, ...]:
    """The graph's inputs; none where the runtime has no graph, as torch."""
    return tuple(getattr(runtime, "input_names", ()))


def input_shape(runtime: Any, name: str) -> tuple[int | None, ...] | None:
    """The shape of an input, None for each free axis; None where the runtime has no such input."""
    found: tuple[int | None, ...] | None = getattr(runtime, "input_shapes", {}).get(name)
    return found
