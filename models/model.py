"""Model: encode, forward, decode; predict is the three joined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.costs import Costs
from models.errors import SpecInvalid
from models.ragged import Ragged
from models.say import hide_secrets
from models.spec import ModelSpec

OnLong = Literal["truncate", "error", "chunk"]
#: An Arrow array (chunked or not) or a Python sequence; pyarrow has no stubs to say so.
Values = Any
#: Characters of a message that a row's fault keeps.
MOST_SAID = 500
#: A piece is padded by no more than a part in so many for the sake of meeting fewer lengths.
PADDING = 8
#: What the pieces of an Encoded are as arrays, one name of them.
Feature = Sequence[NDArray[Any]] | NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """Why one row has no prediction; it goes into parts and answers, so its message holds no secret."""

    kind: str
    message: str
    attempts: int = 1

    def __post_init__(self) -> None:
        # Whole, then cut: half a secret would not be known for one.
        object.__setattr__(self, "message", hide_secrets(self.message)[:MOST_SAID])


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Rows as arrays. A row is one piece, none where it is at fault, several where a long text is cut into chunks.

    Attributes:
        rows: how many rows were given.
        features: name -> one unpadded array for each piece; the first axis is what is padded. A list of arrays, a
            Ragged (all in one array), or one array whose first axis is the pieces.
        piece_rows: shape (pieces,), the row of each piece, ascending.
        lengths: shape (pieces,), the cost of each piece: tokens, steps, or 1 for an image.
        truncated: shape (rows,), whether something of the row was left out.
        faults: row -> why it has no piece.
    """

    rows: int
    features: Mapping[str, Feature]
    piece_rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    faults: Mapping[int, RowFault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pieces = len(self.piece_rows)
        wrong = {name: len(arrays) for name, arrays in self.features.items() if len(arrays) != pieces}
        if wrong or len(self.lengths) != pieces or len(self.truncated) != self.rows:
            raise ValueError(
                f"{pieces} pieces of {self.rows} rows, but {len(self.lengths)} lengths, "
                f"{len(self.truncated)} truncated flags and features of {wrong or 'the right size'}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """The pieces that go through the model together, padded to the longest of them.

    Attributes:
        inputs: name -> array of shape (rows, length, ...) or (rows, channels, height, width).
        rows: how many pieces.
        padded: rows x longest length: what the arithmetic is given.
    """

    inputs: Mapping[str, NDArray[Any]]
    rows: int
    padded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The arithmetic's answers for all pieces of an Encoded, in its order.

    Attributes:
        arrays: name -> array whose first axis is the pieces; rows of pieces at fault hold zeros.
        faults: piece -> why it has no answer.
    """

    arrays: Mapping[str, NDArray[Any]]
    faults: Mapping[int, RowFault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose about the answers.

    Attributes:
        on_long: a text longer than the model takes is cut off and flagged, is an error row, or is answered in
            consecutive chunks whose answers are averaged, weighted by their tokens.
        top_k: how many scores of a row are kept, best first; None keeps all up to 20 labels, else 5.
    """

    on_long: OnLong = "truncate"
    top_k: int | None = None


class Model(ABC):
    """One packaged model. Subclass it to bring a model of your own: `tandem run --model package.module:Class`.

    The contract, which `tandem model check` tries: one answer for each row, in the order given, the same alone as among
    others within `spec.tolerance`; the declared schema, also for no rows; a null or a value of the wrong type is
    an error row, never an exception.

    Attributes:
        spec: what the model promises.
        tag: `name:version`, as answers show it.
        digest: of every file of the artifact; an operator's own class states one of its own.
        variant: runtime and precision, such as `onnx-fp32`.
        tolerance: what its variant was registered with; None: the spec's.
        options: what the caller chose.
        max_rows: pieces that may go through together; 1 where a second row would change an answer.
        max_padded: rows x longest piece that a micro-batch may reach, for memory's sake; None: no bound is known.
            Out of memory lowers it.
        pads: whether pieces of different lengths may go through together; False where padding would change an answer.
        length_step: micro-batches are padded to a multiple of it: a runtime that compiles every new shape meets fewer.
        streams: how many calls of `forward` may run at once, each in a thread of its own.
        costs: what micro-batches take on this host by their shape, as far as it is known; learns while the model runs.
        costs_key: under which they are kept on this host; empty where they are not.
    """

    spec: ModelSpec
    tag: str = "unnamed:0"
    digest: str = ""
    variant: str = "python-fp32"
    tolerance: float | None = None
    options: Options = Options()
    max_rows: int = 256
    max_padded: int | None = None
    pads: bool = True
    length_step: int = 1
    streams: int = 1
    costs_key: str = ""

    #: What each feature is padded with; 0 where it is not named.
    padding: ClassVar[Mapping[str, float]] = {}

    @abstractmethod
    def encode(self, values: Values) -> Encoded:
        """Turn the values of the input column into arrays, on the CPU.

        Every fault of a row that can be told without arithmetic is settled here: null, wrong type, undecodable.
        """

    @abstractmethod
    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        """Arithmetic only: name -> array whose first axis is the rows of the micro-batch, in their order.

        Raises:
            OutOfMemory: the micro-batch did not fit; the caller may halve it.
        """

    @abstractmethod
    def decode(self, outputs: Outputs, encoded: Encoded) -> pa.RecordBatch:
        """Name columns and labels: one row for each row of `encoded`, in its order, with `self.schema`."""

    def padded_lengths(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """To what pieces are padded at least: the next multiple of `length_step`, as far as the model takes it.

        For short pieces that of 4, 2 or 1, so that no more than a part in PADDING is added.
        """
        if self.length_step == 1:
            return lengths
        steps = 2 ** np.floor(np.log2(np.maximum(lengths / PADDING, 1))).astype(np.int64)
        steps = np.minimum(steps, self.length_step)
        stepped = -(-lengths // steps) * steps
        most = self.spec.max_length
        return np.asarray(stepped if most is None else np.maximum(np.minimum(stepped, most), lengths))

    @property
    def costs(self) -> Costs:
        """Of this model; made when first asked for, so that a class of an operator need not call any constructor."""
        found = self.__dict__.get("_costs")
        if found is None:
            found = self.__dict__.setdefault("_costs", Costs())
        assert isinstance(found, Costs)
        return found

    @costs.setter
    def costs(self, costs: Costs) -> None:
        self.__dict__["_costs"] = costs

    @property
    def schema(self) -> pa.Schema:
        """The columns of an answer."""
        return pa.schema(self.spec.output_fields)

    def collate(self, encoded: Encoded, pieces: NDArray[np.int64]) -> MicroBatch:
        """Pad the named pieces to the longest of them."""
        inputs = {name: gather(arrays, pieces, self.padding.get(name, 0)) for name, arrays in encoded.features.items()}
        return MicroBatch(inputs=inputs, rows=len(pieces), padded=int(encoded.lengths[pieces].max()) * len(pieces))

    def predict_values(self, values: Values) -> pa.RecordBatch:
        """Answer the values of the input column: the three steps joined."""
        from models.window import run_window  # the window knows models, not the other way round

        encoded = self.encode(values)
        return self.decode(run_window(self, encoded).outputs, encoded)

    def predict(self, rows: Any) -> Any:
        """Answer a table's rows; comes back as what was given: pandas (with its index), an Arrow table, or a list.

        Raises:
            SpecInvalid: the table lacks the model's input column.
        """
        if isinstance(rows, pa.Table | pa.RecordBatch):
            return pa.Table.from_batches([self.predict_values(rows.column(self._position(rows.schema.names)))])
        if hasattr(rows, "iloc"):
            frame = rows if hasattr(rows, "columns") else rows.to_frame(self.spec.column)
            column = frame[self.spec.column if self.spec.column in frame.columns else self._only(list(frame.columns))]
            answers = pa.Table.from_batches([self.predict_values(column.tolist())]).to_pandas()
            return answers.set_axis(frame.index, axis=0)
        return self.predict_values(list(rows)).to_pylist()

    def _position(self, names: list[str]) -> int:
        return names.index(self.spec.column) if self.spec.column in names else names.index(self._only(names))

    def _only(self, names: list[str]) -> str:
        if len(names) == 1:
            return names[0]
        raise SpecInvalid(
            self.tag, f"takes the column {self.spec.column!r}; found {', '.join(map(str, names)) or 'no columns'}",
            remedy=f"Rename one: df.rename(columns={{...: {self.spec.column!r}}}).",
        )  # fmt: skip


def gather(arrays: Feature, pieces: NDArray[np.int64], value: float = 0, length: int = 0) -> NDArray[Any]:
    """The named pieces of a feature as one array, padded at the end of their first axis to the longest, or `length`."""
    if isinstance(arrays, np.ndarray):
        return np.asarray(arrays[pieces])
    if isinstance(arrays, Ragged):
        return arrays.padded(pieces, value, length)
    return pad([arrays[i] for i in pieces], value)


def pad(arrays: Sequence[NDArray[Any]], value: float = 0) -> NDArray[Any]:
    """Stack arrays of equal trailing shape, padded at the end of their first axis to the longest."""
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays)
    longest = max(array.shape[0] for array in arrays)
    stacked = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for row, array in enumerate(arrays):
        stacked[row, : len(array)] = array
    return stacked
