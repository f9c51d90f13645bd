"""The contract of a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


class Runtime(Protocol):
    """The part of a model that does arithmetic: arrays in, arrays out, no rows, no text.

    Attributes:
        name: `torch`, `onnx` or `openvino`.
        precision: `fp32`, `bf16`, `fp16` or `int8`: what the arithmetic is done in; arrays in and out are float32.
        device: `cpu`, `cuda` or `tensorrt`, as chosen, never `auto`.
        threads: of the arithmetic, in the whole process.
        streams: calls of `forward` that run at once with profit; they share the threads.
        length_step: it is the faster the fewer lengths it meets: micro-batches are padded to multiples of it.
        pads: whether rows of several lengths may share a micro-batch.
    """

    name: str
    precision: str
    device: str
    threads: int
    streams: int
    length_step: int
    pads: bool

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Run one micro-batch. Safe to call from several threads, one after another or at once.

        Args:
            inputs: name -> array of shape (rows, length, ...) or (rows, channels, height, width), padded.

        Returns:
            name -> array whose first axis is `rows`, in the order given.

        Raises:
            OutOfMemory: the micro-batch did not fit; the caller may halve it.
            ValueError: no rows; or rows of several lengths where the runtime does not pad.
        """
        ...
