"""The family `rnn`: recurrent networks over sequences of numbers, and over text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.decode import decode_outputs
from models.errors import SpecInvalid
from models.graph import input_names, input_shape
from models.images import Fetch
from models.model import Encoded, MicroBatch, Model, Options, Outputs, RowFault, Values
from models.networks.recurrent_config import CONFIG_FILE, Normalize, RecurrentConfig, read_config
from models.ragged import Ragged
from models.runtimes.runtime import Runtime
from models.sequences import read_sequences
from models.spec import ModelSpec
from models.tokens import load_tokenizer, read_tokens


class RnnModel(Model):
    """A recurrent classifier: `inputs` and `lengths` in, `logits` out; what is beyond a row's length has no effect.

    The folder's config.json (see `models.networks.recurrent_config`) says what a step is. A user's own ONNX file needs
    none: the numbers of a step are then the last axis of its `inputs`, nothing is normalised, and `max_length` is the
    spec's. Where such a graph has no `lengths`, padding would change its answers: only rows of one length go together.

    Attributes:
        channels: how many numbers a step has; 0 for text.
        max_length: steps, or tokens, that a row may have; None for any.
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
        """Join a spec with the runtime of its weights; `fetch` is not needed for numbers and text.

        Raises:
            SpecInvalid: config.json, tokenizer.json, the graph and tandem.yaml do not fit together.
        """
        self.spec, self.runtime, self.options = spec, runtime, options or Options()
        self.normalize: Normalize | None = None
        self.channels, self.max_length = 0, spec.max_length
        vocab_size = None
        is_text = spec.inputs[0].kind == "text"
        if (folder / CONFIG_FILE).is_file() or spec.architecture == "recurrent":
            config = read_config(folder)
            check_config(config, spec, where=str(folder))
            self.normalize, self.max_length = config.normalize, spec.max_length or config.max_length
            self.channels, vocab_size = 0 if is_text else config.input_size, config.vocab_size
        elif not is_text:
            self.channels = count_channels(runtime, where=str(folder))
        self.tokenizer = load_tokenizer(folder, vocab_size) if is_text else None
        names = input_names(runtime)
        self.input_name = names[0] if len(names) == 1 else "inputs"
        if names and "lengths" not in names:
            self.pads = False  # such a graph would take padding for steps

    def encode(self, values: Values) -> Encoded:
        """Sequences or token ids as `inputs`, one array of (steps, channels) or (tokens,) for each piece."""
        rows = (
            read_sequences(values, self.channels, self.normalize)
            if self.tokenizer is None
            else read_tokens(values, self.tokenizer)
        )
        return cut_long_rows(rows, self.max_length, self.options)

    def collate(self, encoded: Encoded, pieces: NDArray[np.int64]) -> MicroBatch:
        """Pad the named pieces, and say how long each one is."""
        batch = super().collate(encoded, pieces)
        inputs = {self.input_name: batch.inputs["inputs"], "lengths": encoded.lengths[pieces]}
        return MicroBatch(inputs=inputs, rows=batch.rows, padded=batch.padded)

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        """Logits of (rows, labels)."""
        return self.runtime.forward(micro_batch.inputs)

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        """The best label of each row, and its scores."""
        return decode_outputs(self.spec, self.options, outputs, encoded)


def check_config(config: RecurrentConfig, spec: ModelSpec, *, where: str) -> None:
    """See that config.json and tandem.yaml speak of the same model.

    Raises:
        SpecInvalid: they do not; the message gives both.
    """
    kind, takes = spec.inputs[0].kind, "sequence" if config.vocab_size is None else "text"
    if kind != takes:
        raise SpecInvalid(where, f"tandem.yaml takes {kind}, but by its vocab_size {CONFIG_FILE} takes {takes}")
    if config.labels != spec.labels:
        raise SpecInvalid(
            where, f"the labels of tandem.yaml {spec.labels} are not those of {CONFIG_FILE} {config.labels}"
        )


def cut_long_rows(rows: Sequence[NDArray[Any] | RowFault], max_length: int | None, options: Options) -> Encoded:
    """Rows as pieces: one longer than `max_length` is cut off, refused, or cut into chunks, as `on_long` says."""
    pieces: list[NDArray[Any]] = []
    piece_rows: list[int] = []
    faults: dict[int, RowFault] = {}
    truncated = np.zeros(len(rows), dtype=np.bool_)
    for row, steps in enumerate(rows):
        if isinstance(steps, RowFault):
            faults[row] = steps
        elif max_length is None or len(steps) <= max_length:
            pieces.append(steps)
            piece_rows.append(row)
        elif options.on_long == "error":
            faults[row] = RowFault(kind="TooLong", message=f"expected at most {max_length} steps, found {len(steps)}")
        else:
            truncated[row] = options.on_long == "truncate"
            stop = max_length if truncated[row] else len(steps)
            chunks = [steps[start : start + max_length] for start in range(0, stop, max_length)]
            pieces += chunks
            piece_rows += [row] * len(chunks)
    return Encoded(
        rows=len(rows),
        features={"inputs": Ragged.join(pieces)},
        piece_rows=np.asarray(piece_rows, dtype=np.int64),
        lengths=np.asarray([len(piece) for piece in pieces], dtype=np.int64),
        truncated=truncated,
        faults=faults,
    )


def count_channels(runtime: Runtime, *, where: str) -> int:
    """The numbers of a step, from the graph.

    Raises:
        SpecInvalid: the graph does not say.
    """
    names = input_names(runtime)
    shape = input_shape(runtime, names[0] if len(names) == 1 else "inputs")
    if shape is None or len(shape) != 3 or shape[2] is None:
        found = shape or ", ".join(names)
        raise SpecInvalid(where, f"expected a graph with 'inputs' of (rows, length, a fixed number), found {found}")
    return shape[2]
