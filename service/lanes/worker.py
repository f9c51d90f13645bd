"""Worker: who does a lane's arithmetic, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.costs import Costs
from models.decode_isolated import decode_isolated
from models.encode_isolated import encode_isolated
from models.measure_costs import keep_costs
from models.model import Model
from models.spec import ModelSpec
from models.window import WindowStats, run_window
from service.schemas import Answer, ModelCard, answers_of, card_of


class StepFailed(Exception):
    """A step of the model raised, and no row could be singled out.

    Attributes:
        step: encode, forward or decode.
        cause: what was raised.
    """

    def __init__(self, *, step: str, cause: BaseException) -> None:
        super().__init__(f"{step}: {type(cause).__name__}: {cause}")
        self.step, self.cause = step, cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A window's answers, and what they took.

    Attributes:
        answers: one a row, in the order of the rows.
        lengths: shape (rows,), what each row turned out to cost: tokens, steps, 1 for an image, 0 for one at fault.
        micro_batch_rows: the rows of each call of the model.
        stats: of the window.
        encode_s, compute_s, seconds: wall time of encoding, of all micro-batches, and of the whole.
    """

    answers: list[Answer]
    lengths: Sequence[int]
    micro_batch_rows: Sequence[int]
    stats: WindowStats
    encode_s: float
    compute_s: float
    seconds: float


class Worker(Protocol):
    """One model, asked a window at a time from its lane's thread and from no other.

    Attributes:
        spec, tag, digest, variant: the model's.
        max_rows: rows that the model takes together at most.
        costs: what its micro-batches take here; the worker keeps it as it learns. Read from other threads, too.
        alive: whether it can answer; one that is being replaced can.
        samples: rows that it takes, from which the lane learns what windows take before requests come.
    """

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def tag(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def variant(self) -> str: ...

    @property
    def max_rows(self) -> int: ...

    @property
    def costs(self) -> Costs: ...

    @property
    def alive(self) -> bool: ...

    @property
    def samples(self) -> Sequence[Any]: ...

    def card(self) -> ModelCard:
        """What GET /models says of the model."""

    def answer(self, values: list[Any], is_wanted: Callable[[int], bool] = ...) -> Answered:
        """Answer the values of the input column. Blocks. A row at fault costs its own answer only.

        Args:
            values: the rows.
            is_wanted: whether somebody still waits for a row, by its place; a second try over others is spared.

        Raises:
            StepFailed: the model broke down and no row could be singled out; the lane bisects by requests.
            Exception: the same, where no step is known.
        """

    def close(self) -> None:
        """Let go of the model; called once, after the last window."""


class LocalWorker:
    """A model in this process: its encode, forward and decode run in the lane's thread."""

    alive = True

    def __init__(self, model: Model, *, samples: Sequence[Any] = ()) -> None:
        self.model, self.samples = model, samples

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    @property
    def tag(self) -> str:
        return self.model.tag

    @property
    def digest(self) -> str:
        return self.model.digest

    @property
    def variant(self) -> str:
        return self.model.variant

    @property
    def max_rows(self) -> int:
        return self.model.max_rows

    @property
    def costs(self) -> Costs:
        return self.model.costs

    def card(self) -> ModelCard:
        return card_of(self.model)

    def answer(self, values: list[Any], is_wanted: Callable[[int], bool] = lambda row: True) -> Answered:
        """As Worker.answer says."""
        begun = time.perf_counter()
        with step("encode"):
            encoded = encode_isolated(self.model, values)
        encoded_at = time.perf_counter()
        micro_batch_rows: list[int] = []
        with step("forward"):
            result = run_window(self.model, encoded, told=lambda batch: micro_batch_rows.append(batch.rows))
        computed_at = time.perf_counter()
        with step("decode"):
            answers = answers_of(decode_isolated(self.model, result.outputs, encoded))
        lengths = np.bincount(encoded.piece_rows, weights=encoded.lengths, minlength=len(values)).astype(np.int64)
        return Answered(
            answers=answers,
            lengths=lengths.tolist(),
            micro_batch_rows=micro_batch_rows,
            stats=result.stats,
            encode_s=encoded_at - begun,
            compute_s=computed_at - encoded_at,
            seconds=time.perf_counter() - begun,
        )

    def close(self) -> None:
        keep_costs(self.model)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """What raises in here raises as StepFailed."""
    try:
        yield
    except BaseException as error:
        raise StepFailed(step=name, cause=error) from error
