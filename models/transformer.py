"""The transformer family: texts through the folder's own tokenizer, images through its preprocessor settings."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Encoding

from models.cnn import CnnModel
from models.decode import decode_outputs, width
from models.errors import SpecInvalid
from models.graph import input_names
from models.images import Fetch
from models.model import Encoded, MicroBatch, Model, Options, Outputs, RowFault, Values, gather
from models.ragged import Ragged, ends_to_offsets
from models.runtimes.runtime import Runtime
from models.spec import ModelSpec
from models.tokenizer import FolderTokenizer
from models.tokens import read_text
from models.values import FaultFound, iterate_values

#: Padded tokens of a micro-batch: what attention takes for them stays at some hundred MB on a CPU, where the fastest
#: micro-batches are far smaller, and at some GB on a GPU.
MAX_TOKENS = {"cpu": 8192, "gpu": 131_072}


class TransformerModel(Model):
    """Text embedding, text classification with one or several labels, and image classification.

    A text's cost is its tokens. A text longer than `spec.max_length` is cut off and flagged, is an error row, or is
    answered window by window, as `options.on_long` says; every window has the special tokens around it.
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
        """Read the tokenizer out of the folder.

        Raises:
            SpecInvalid: the folder has no tokenizer that could be read, or the graph takes no such input.
        """
        self.spec, self.runtime, self.options = spec, runtime, options or Options()
        self.takes_types = "token_type_ids" in input_names(runtime)
        self.images: CnnModel | None = None
        if spec.task == "image-classification":
            self.images = CnnModel(folder=folder, spec=spec, runtime=runtime, options=self.options, fetch=fetch)
            self.max_rows, self.max_padded = self.images.max_rows, self.images.max_padded
            return
        self.length_step = runtime.length_step
        self.max_padded = MAX_TOKENS["cpu" if runtime.device == "cpu" else "gpu"]
        self.tokenizer = FolderTokenizer(folder, max_length=spec.max_length, on_long=self.options.on_long)

    def encode(self, values: Values) -> Encoded:
        """Tokenise texts; images are encoded, and go on, as those of every image classifier."""
        if self.images is not None:
            return self.images.encode(values)
        texts, faults, rows = read_texts(values)
        encodings = dict(zip(texts, self.tokenizer.encode(list(texts.values())), strict=True))
        return self._cut(encodings, faults, rows)

    def _cut(self, encodings: Mapping[int, Encoding], faults: dict[int, RowFault], rows: int) -> Encoded:
        """Turn each row's tokens into its pieces: one, none where it is too long to be taken, or a window each."""
        limit, on_long = self.spec.max_length, self.options.on_long
        truncated = np.zeros(rows, dtype=np.bool_)
        pieces: list[Encoding] = []
        piece_rows: list[int] = []
        for row, encoding in encodings.items():
            if limit is not None and on_long == "error" and len(encoding) > limit:
                faults[row] = RowFault(
                    kind="TooLong", message=f"the text has {len(encoding)} tokens, the model takes {limit}"
                )
                continue
            further = encoding.overflowing if limit is not None and len(encoding) == limit else []
            truncated[row] = bool(further) and on_long == "truncate"
            windows = [encoding, *further] if on_long == "chunk" else [encoding]
            pieces += windows
            piece_rows += [row] * len(windows)
        # A tokenizer without special tokens makes nothing of an empty text; one padding token stands for it.
        features = {"input_ids": join_ids([piece.ids for piece in pieces], nothing=self.tokenizer.pad_id)}
        if self.takes_types and self.tokenizer.has_types:
            features["token_type_ids"] = join_ids([piece.type_ids for piece in pieces], nothing=0)
        return Encoded(
            rows=rows,
            features=features,
            piece_rows=np.asarray(piece_rows, dtype=np.int64),
            lengths=features["input_ids"].lengths,
            truncated=truncated,
            faults=faults,
        )

    def collate(self, encoded: Encoded, pieces: NDArray[np.int64]) -> MicroBatch:
        """Pad the token ids to the longest of the named pieces; the mask says what is real."""
        if self.images is not None:
            return self.images.collate(encoded, pieces)
        lengths = encoded.lengths[pieces]
        shape = (len(pieces), int(self.padded_lengths(lengths).max()))
        real = np.arange(shape[1]) < lengths[:, None]
        inputs: dict[str, NDArray[Any]] = {}
        for name, arrays in encoded.features.items():
            inputs[name] = gather(arrays, pieces, self.tokenizer.pad_id if name == "input_ids" else 0, shape[1])
        inputs["attention_mask"] = real.astype(np.int64)
        if self.takes_types and "token_type_ids" not in inputs:
            inputs["token_type_ids"] = np.zeros(shape, dtype=np.int64)
        return MicroBatch(inputs=inputs, rows=len(pieces), padded=shape[0] * shape[1])

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        """Arithmetic, and of a graph that returns a vector for each token, the pooling that the spec names."""
        return {self.output_name: self._pick(self.runtime.forward(micro_batch.inputs), micro_batch)}

    @property
    def output_name(self) -> str:
        return "embedding" if self.spec.task == "text-embedding" else "logits"

    def _pick(self, outputs: Mapping[str, NDArray[Any]], micro_batch: MicroBatch) -> NDArray[Any]:
        """The one output that is the answer: by name, by its shape, or pooled from the token vectors."""
        if self.output_name in outputs:
            return outputs[self.output_name]
        if self.spec.pooling != "none":
            for array in outputs.values():
                if array.ndim == 3 and array.shape[2] == width(self.spec):
                    return pool_tokens(array, micro_batch.inputs["attention_mask"], self.spec.pooling)
        for array in outputs.values():
            if array.ndim == 2 and array.shape[1] == width(self.spec):
                return array
        found = "; ".join(f"{name} of shape {array.shape}" for name, array in outputs.items())
        raise SpecInvalid(
            self.spec.name,
            f"expected an output {self.output_name!r} of shape (rows, {width(self.spec)}), found {found}",
            remedy="For a vector for each token say pooling: mean, cls or max in tandem.yaml.",
        )

    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        """Name columns and labels; see Model."""
        return decode_outputs(self.spec, self.options, outputs, encoded)


def join_ids(rows: list[list[int]], *, nothing: int) -> Ragged:
    """The ids of all pieces in one array; a piece without any becomes the one id `nothing`."""
    rows = [ids or [nothing] for ids in rows]
    offsets = ends_to_offsets(map(len, rows))
    return Ragged(np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(offsets[-1])), offsets)


def read_texts(values: Values) -> tuple[dict[int, str], dict[int, RowFault], int]:
    """Tell texts from what is none: row -> text, row -> fault, and how many rows there are."""
    texts: dict[int, str] = {}
    faults: dict[int, RowFault] = {}
    row = -1
    for row, value in enumerate(iterate_values(values)):
        try:
            texts[row] = read_text(value)
        except FaultFound as error:
            faults[row] = error.fault
    return texts, faults, row + 1


def pool_tokens(vectors: NDArray[Any], mask: NDArray[Any], pooling: str) -> NDArray[Any]:
    """Vectors of tokens, (rows, length, dim), to one of each text, (rows, dim); padding counts for nothing."""
    if pooling == "cls":
        return np.ascontiguousarray(vectors[:, 0])
    real = mask[:, :, None].astype(bool)
    if pooling == "max":
        return np.asarray(np.where(real, vectors, -np.inf).max(axis=1), dtype=vectors.dtype)
    total = np.where(real, vectors, 0).sum(axis=1)
    return np.asarray(total / mask.sum(axis=1, keepdims=True), dtype=vectors.dtype)
