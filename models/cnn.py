"""The family `cnn`: image classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.errors import SpecInvalid
from models.graph import input_names, input_shape
from models.images import Fetch, encode_images
from models.model import Encoded, MicroBatch, Model, Options, Outputs, Values
from models.pixels import check_preprocess, image_shape
from models.runtimes.runtime import Runtime
from models.spec import ModelSpec

FLOAT_BYTES = 4


class CnnModel(Model):
    """An image classifier: `pixel_values` in, `logits` out.

    A graph whose one input has another name is fed all the same; one exported for a single image gets one at a time.

    Attributes:
        image_size: (height, width) that the graph is bound to, None on a free axis.
    """

    def __init__(
        self,
        *,
        folder: Path,
        spec: ModelSpec,
        runtime: Runtime,
        options: Options | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        """Join a spec with the runtime of its weights.

        Raises:
            SpecInvalid: preprocess does not fit its own mode, or the graph takes no images.
        """
        self.spec, self.runtime, self.options, self.fetch = spec, runtime, options or Options(), fetch
        if spec.preprocess is None:
            raise SpecInvalid(str(folder), "the family 'cnn' needs preprocess (mode, resize, mean, std)")
        self.preprocess = spec.preprocess
        check_preprocess(self.preprocess, where=str(folder))
        self.input_name = name_image_input(runtime, where=str(folder))
        shape = input_shape(runtime, self.input_name)
        self.image_size = shape[2:] if shape is not None and len(shape) == 4 else (None, None)
        channels, *assumed = image_shape(self.preprocess)
        height, width = (known or edge for known, edge in zip(self.image_size, assumed, strict=True))
        self.max_padded = max(most_bytes(runtime) // (channels * height * width * FLOAT_BYTES), 1)
        if shape is not None and shape[:1] == (1,):
            self.max_rows = 1

    def encode(self, values: Values) -> Encoded:
        """Images as `pixel_values`; see `encode_images`."""
        return encode_images(values, self.preprocess, self.fetch)

    def collate(self, encoded: Encoded, pieces: NDArray[np.int64]) -> MicroBatch:
        """Stack images; where they are of several sizes this raises, and the window parts them."""
        pixels = encoded.features["pixel_values"]
        images = pixels[pieces] if isinstance(pixels, np.ndarray) else np.stack([pixels[piece] for piece in pieces])
        return MicroBatch(inputs={self.input_name: images}, rows=len(pieces), padded=len(pieces))

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        """Logits of (rows, labels)."""
        return self.runtime.forward(micro_batch.inputs)

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        """The best label of each image, and its scores."""
        return decode_outputs(self.spec, self.options, outputs, encoded)


def most_bytes(runtime: Runtime) -> int:
    """Bytes of pixels in a micro-batch: the layers take some ten times as much."""
    return 16 << 20 if runtime.device == "cpu" else 256 << 20


def name_image_input(runtime: Runtime, *, where: str) -> str:
    """`pixel_values`, or the graph's one input whatever its name.

    Raises:
        SpecInvalid: several inputs, none of which is `pixel_values`.
    """
    names = input_names(runtime)
    if not names or "pixel_values" in names:
        return "pixel_values"
    if len(names) == 1:
        return names[0]
    raise SpecInvalid(where, f"expected a graph with the input 'pixel_values', found {', '.join(names)}")
