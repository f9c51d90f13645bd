"""One window: streams, out of memory, equal rows, and what it says of itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.distinct import distinct_one_by_one, distinct_pieces, factors
from models.errors import OutOfMemory
from models.locate import locate_model
from models.model import Encoded, MicroBatch
from models.ragged import Ragged
from models.runtimes.onnx_runtime import OnnxRuntime
from models.spec import read_spec
from models.transformer import TransformerModel
from models.window import lower_bound, run_window
from tests.service.models import LetterModel

WORDS = ["alpha", "zulu", "b", "a longer row of words", "alpha", "x" * 40, "yes", "b"]


class CrowdedModel(LetterModel):
    """Runs two at once: each call waits until another is on its way too."""

    streams = 2

    def __init__(self) -> None:
        super().__init__()
        self.together = threading.Barrier(2, timeout=20)
        self.max_rows = 1

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        self.together.wait()
        return super().forward(micro_batch)


class SmallMemoryModel(LetterModel):
    """Takes no micro-batch of more than 64 padded letters."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if micro_batch.padded > 64:
            self.refused += 1
            raise OutOfMemory(f"{micro_batch.padded} letters do not fit")
        return super().forward(micro_batch)


def answers(model: LetterModel, rows: list[str]) -> NDArray[Any]:
    return next(iter(run_window(model, model.encode(rows)).outputs.arrays.values()))


def test_streams_run_at_once_and_answer_in_the_order_of_the_input() -> None:
    model = CrowdedModel()
    rows = list(dict.fromkeys(WORDS))  # an even number, so that nobody waits alone
    assert len(rows) % 2 == 0
    np.testing.assert_array_equal(answers(model, rows), answers(LetterModel(), rows))


def test_a_row_that_raises_costs_itself_only_in_streams_too() -> None:
    class PoisonModel(LetterModel):
        streams = 2

        def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
            if any(chr(row[0]) == "z" for row in micro_batch.inputs["ids"]):
                raise ZeroDivisionError("no z")
            return super().forward(micro_batch)

    model = PoisonModel()
    model.max_rows = 3
    result = run_window(model, model.encode(WORDS))
    assert {piece: fault.kind for piece, fault in result.outputs.faults.items()} == {1: "ZeroDivisionError"}
    good = [piece for piece in range(len(WORDS)) if piece != 1]
    np.testing.assert_array_equal(next(iter(result.outputs.arrays.values()))[good], answers(LetterModel(), WORDS)[good])


def test_out_of_memory_is_met_once_and_then_planned_around() -> None:
    model = SmallMemoryModel()
    rows = [f"row {number:02d}" for number in range(40)]
    first = run_window(model, model.encode(rows))
    assert first.stats.halved >= 1
    assert first.outputs.faults == {}
    assert model.max_padded is not None
    assert model.max_padded <= 120
    met = model.refused
    while model.max_padded > 64:
        run_window(model, model.encode(rows))
    met = model.refused
    second = run_window(model, model.encode(rows))
    assert (model.refused, second.stats.halved) == (met, 0)
    np.testing.assert_array_equal(next(iter(second.outputs.arrays.values())), answers(LetterModel(), rows))


def test_equal_rows_go_through_once() -> None:
    model = LetterModel()
    result = run_window(model, model.encode(WORDS))
    assert sorted(model.computed) == sorted(set(WORDS))
    assert (result.stats.rows, result.stats.repeated) == (6, 2)


@pytest.mark.parametrize("ragged", [True, False])
def test_equal_pieces_are_found_in_every_form_of_a_feature(ragged: bool) -> None:
    arrays = [np.asarray(row, np.int64) for row in ([1, 2], [1], [1, 2], [2, 1], [1], [0] * 1000, [0] * 1000)]
    encoded = Encoded(
        rows=7,
        features={"ids": Ragged.join(arrays) if ragged else arrays},
        piece_rows=np.arange(7),
        lengths=np.asarray([len(array) for array in arrays]),
        truncated=np.zeros(7, np.bool_),
    )
    first, inverse = distinct_pieces(encoded)
    assert (first.tolist(), inverse.tolist()) == ([0, 1, 3, 5], [0, 1, 0, 2, 1, 3, 3])


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-2, 2), max_size=4), min_size=1, max_size=30),
    form=st.sampled_from(["ragged", "wide", "stacked"]),
)
def test_equal_pieces_are_those_whose_arrays_are_equal(rows: list[list[int]], form: str) -> None:
    if form == "stacked":
        rows = [[*row, 0, 0, 0, 0][:4] for row in rows]
    arrays = [np.asarray(row, np.int16) for row in rows]
    features: dict[str, Any] = {"ids": Ragged.join(arrays)}
    if form == "wide":
        features = {"steps": Ragged.join([np.stack([array, array], axis=1).astype(np.float32) for array in arrays])}
    if form == "stacked":
        features = {"pixels": np.stack(arrays)}
    lengths = np.asarray([len(array) for array in arrays])
    encoded = Encoded(
        rows=len(rows), features=features, piece_rows=np.arange(len(rows)), lengths=lengths,
        truncated=np.zeros(len(rows), np.bool_),
    )  # fmt: skip
    first, inverse = distinct_pieces(encoded)
    assert [rows[kind] for kind in first[inverse]] == rows
    assert len(first) == len({tuple(row) for row in rows})
    for fast, slow in zip(distinct_pieces(encoded), distinct_one_by_one(encoded), strict=True):
        np.testing.assert_array_equal(fast, slow)


def test_pieces_that_only_hash_alike_are_not_taken_for_equal() -> None:
    """The hash is a sum of products, so that two numbers can be moved without moving it."""
    one, other = (int(factor) for factor in factors(2))
    pairs = np.asarray([[other, 0], [0, one]], np.uint64)
    encoded = Encoded(
        rows=2, features={"ids": pairs}, piece_rows=np.arange(2), lengths=np.ones(2, np.int64),
        truncated=np.zeros(2, np.bool_),
    )  # fmt: skip
    assert distinct_pieces(encoded)[1].tolist() == [0, 1]


def test_a_window_says_what_it_was_expected_to_take_and_what_it_took() -> None:
    model = LetterModel()
    told: list[int] = []
    stats = run_window(model, model.encode(WORDS), told=lambda batch: told.append(batch.rows)).stats
    assert (sum(told), len(told)) == (stats.rows, stats.micro_batches)
    assert stats.forward_s > 0
    assert stats.predicted_s > 0
    assert stats.plan_s > 0
    assert model.costs.calls == pytest.approx(stats.micro_batches)


def test_ragged_rows_are_padded_as_single_arrays_are() -> None:
    ragged = Ragged.join([np.asarray(row) for row in ([1, 2, 3], [4], [5, 6])])
    assert ragged.padded(np.asarray([2, 1, 0]), -1).tolist() == [[5, 6, -1], [4, -1, -1], [1, 2, 3]]
    assert ragged.padded(np.asarray([1]), -1).tolist() == [[4]]
    assert [row.tolist() for row in ragged] == [[1, 2, 3], [4], [5, 6]]
    assert [row.tolist() for row in ragged[1:]] == [[4], [5, 6]]
    assert ragged[-1].tolist() == [5, 6]


class CrampedModel(LetterModel):
    """Two streams; a call that finds another one in progress has no memory left, and neither has the word `never`."""

    streams = 2
    max_rows = 1

    def __init__(self) -> None:
        super().__init__()
        self.first = threading.Lock()
        self.second_failed = threading.Event()

    def forward(self, micro_batch: MicroBatch) -> Mapping[str, NDArray[Any]]:
        if "".join(map(chr, micro_batch.inputs["ids"][0])) == "never":
            raise OutOfMemory("no memory, ever")
        if not self.first.acquire(blocking=False):
            self.second_failed.set()
            raise OutOfMemory("another stream has it all")
        try:
            assert self.second_failed.wait(20)
            return super().forward(micro_batch)
        finally:
            self.first.release()


def test_a_row_that_does_not_fit_beside_another_stream_is_answered_when_it_is_alone() -> None:
    model, rows = CrampedModel(), ["alpha", "bravo", "never"]
    result = run_window(model, model.encode(rows))
    assert {piece: fault.message for piece, fault in result.outputs.faults.items()} == {2: "no memory, ever"}
    found = next(iter(result.outputs.arrays.values()))
    np.testing.assert_array_equal(found[:2], answers(LetterModel(), rows)[:2])


def test_of_two_streams_out_of_memory_at_once_the_lower_bound_stays() -> None:
    lowered = threading.Event()

    class HesitantModel(LetterModel):
        """Lets another stream go first between reading its bound and setting it."""

        bound: int | None = None

        @property
        def max_padded(self) -> int | None:
            found = self.bound
            if threading.current_thread().name == "slow":
                reading.set()
                lowered.wait(0.5)
            return found

        @max_padded.setter
        def max_padded(self, bound: int | None) -> None:
            self.bound = bound

    model, reading = HesitantModel(), threading.Event()
    slow = threading.Thread(target=lower_bound, args=(model, np.asarray([100])), name="slow")
    slow.start()
    assert reading.wait(20)
    lower_bound(model, np.asarray([10]))
    lowered.set()
    slow.join(20)
    assert model.bound == 5


def test_padding_that_does_not_fit_lowers_the_bound_too() -> None:
    class PaddingModel(LetterModel):
        """Has no memory to pad more than 64 letters."""

        def collate(self, encoded: Encoded, pieces: NDArray[np.int64]) -> MicroBatch:
            if (padded := int(encoded.lengths[pieces].max()) * len(pieces)) > 64:
                raise MemoryError(f"{padded} letters")
            return super().collate(encoded, pieces)

    model = PaddingModel()
    rows = [f"row {number:02d}" for number in range(40)]
    assert run_window(model, model.encode(rows)).outputs.faults == {}
    assert model.max_padded is not None


def test_lengths_are_padded_to_multiples_of_the_step_and_no_further_than_the_model_takes() -> None:
    folder = locate_model("bbc-bert").folder
    reference = TransformerModel(
        folder=folder, spec=read_spec(folder), runtime=OnnxRuntime(folder / "model.onnx", threads=1)
    )
    model = TransformerModel(
        folder=folder,
        spec=read_spec(folder).model_copy(update={"max_length": 30}),
        runtime=OnnxRuntime(folder / "model.onnx", threads=1),
    )
    model.length_step = 8
    shapes: set[int] = set()
    rows = ["goal " * words for words in range(1, 60, 4)]
    encoded = model.encode(rows)
    result = run_window(model, encoded, told=lambda batch: shapes.add(batch.inputs["input_ids"].shape[1]))
    assert {shape for shape in shapes if shape >= 16} <= {16, 18, 20, 22, 24, 26, 28, 30}, "short ones to smaller steps"
    assert len(shapes) > 1
    longer = model.padded_lengths(np.asarray([1, 7, 15, 17, 29]))
    assert longer.tolist() == [1, 7, 15, 18, 30]
    model.spec = model.spec.model_copy(update={"max_length": 250})
    assert model.padded_lengths(np.asarray([33, 63, 65, 129, 249])).tolist() == [36, 64, 72, 136, 250]
    alone = next(iter(run_window(reference, encoded).outputs.arrays.values()))
    np.testing.assert_allclose(next(iter(result.outputs.arrays.values())), alone, atol=1e-5)
    assert result.stats.real < result.stats.padded
