"""Forecast: what rows that wait will take, before anybody has encoded them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.costs import LENGTH_KNOTS, ROW_KNOTS
from service.lanes.worker import Answered, Worker

#: Of a text, until some was seen.
TOKENS_PER_LETTER = 0.3
#: What a window leaves of everything that was measured before it; one of many seconds leaves less.
FADE, FADE_S = 0.93, 1.5
#: A micro-batch is good where a row costs at most so much more than in the best one.
GOOD = 1.1
#: Costs are looked up anew at most so often.
REFRESH_S = 0.2
#: Each doubt takes off so much of what was measured, one in DOUBT_S at most, down to LEAST_TRUST until the next window.
DOUBT, DOUBT_S, LEAST_TRUST = 0.9, 0.2, 0.5
#: No further window of sample rows is begun after so long.
PRIME_S = 2.0


class Rate:
    """What was measured over what was expected, the newest counting most."""

    def __init__(self, expected: float, *, measured: float) -> None:
        self._known = measured, expected  # exchanged in one step: others ask in the meantime

    @property
    def value(self) -> float:
        measured, expected = self._known
        return measured / expected

    def learn(self, measured: float, expected: float, *, seconds: float) -> None:
        if expected <= 0:
            return
        fade = min(FADE, np.exp(-seconds / FADE_S))
        before, expected_before = self._known
        self._known = before * fade + measured, expected_before * fade + expected


@dataclass(frozen=True, slots=True)
class Tables:
    """Seconds over LENGTH_KNOTS, as the model's costs were when they were looked up.

    Attributes:
        share: of a row in a micro-batch of the best size.
        good: of the smallest micro-batch in which rows are nearly as cheap.
        call: of a call beyond its rows' shares.
    """

    share: Sequence[float]
    good: Sequence[float]
    call: Sequence[float]


class Forecast:
    """Seconds of rows in a lane, from the measured costs of their lengths and what windows really took.

    A row takes `ratio * share of a good micro-batch of its length + encode * size + rest`: costs are the model's own,
    as the planner uses them; what they leave out (encoding, naming answers, and whoever else is on these cores) is
    learnt from every window that was answered. A row's length is known once it was encoded; until then that of a text
    is told by its letters, with a ratio that is learnt too. Costs about a microsecond a row.

    Any thread may ask; only the lane's thread teaches.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._kind = worker.spec.inputs[0].kind
        self._most = worker.spec.max_length or int(LENGTH_KNOTS[-1])
        # A little expected beforehand, so that the first windows do not decide alone.
        self._ratio = Rate(1e-3, measured=1e-3)
        self._encode = Rate(1.0, measured=1e-6)
        self._rest = Rate(1.0, measured=5e-5)
        self._tokens = Rate(100.0, measured=100.0 * TOKENS_PER_LETTER)
        self._length = Rate(1.0, measured=1.0 if self._kind == "image" else 16.0)
        self._lag = Rate(1.0, measured=0.001)
        self._tables = look_up(worker)
        self._looked_up = time.monotonic()
        self._trust, self._doubted = 1.0, -DOUBT_S

    @property
    def ratio(self) -> float:
        """What windows took over what their costs say."""
        return self._trust * self._ratio.value

    @property
    def call_s(self) -> float:
        """What a window takes beyond its rows' shares."""
        return self.ratio * at(self._tables.call, self._length.value)

    @property
    def good_s(self) -> float:
        """What a micro-batch takes that is large enough to be good."""
        return self.ratio * at(self._tables.good, self._length.value)

    @property
    def lag_s(self) -> float:
        """How late the event loop comes to what it is given."""
        return self._lag.value

    def foresee(self, values: Sequence[Any]) -> list[float]:
        """Seconds of each row, in a window with others."""
        ratio, encode, rest, tokens = self.ratio, self._encode.value, self._rest.value, self._tokens.value
        share, found = self._tables.share, []
        for value in values:
            size = self._size(value)
            length: float = size
            if self._kind == "image":
                length = 1
            elif self._kind == "text":
                length = min(tokens * size, self._most)
            found.append(ratio * at(share, length) + encode * size + rest)
        return found

    def learn(self, values: Sequence[Any], answered: Answered) -> None:
        """Learn from a window that was answered."""
        lengths = [length for length in answered.lengths if length]
        sizes = [self._size(value) for value in values]
        seconds, rows = answered.seconds, len(values)
        self._trust = 1.0
        self._encode.learn(answered.encode_s, sum(sizes), seconds=seconds)
        self._rest.learn(max(seconds - answered.encode_s - answered.compute_s, 0.0), rows, seconds=seconds)
        if lengths:
            expected = sum(at(self._tables.share, length) for length in lengths)
            # Rows that had an equal one beside them were not computed, and say nothing of those that come.
            expected *= answered.stats.rows / max(answered.stats.rows + answered.stats.repeated, 1)
            expected += at(self._tables.call, sum(lengths) / len(lengths))
            self._ratio.learn(answered.compute_s, expected, seconds=seconds)
            self._length.learn(sum(lengths), len(lengths), seconds=seconds)
        if self._kind == "text":
            whole = [(length, size) for length, size in zip(answered.lengths, sizes, strict=True)
                     if 0 < length < self._most]  # fmt: skip
            self._tokens.learn(sum(length for length, _ in whole), sum(size for _, size in whole), seconds=seconds)

    def prime(self, values: Sequence[Any]) -> None:
        """Learn from windows of sample rows, one, some and all of them together, before anybody waits."""
        ends = time.monotonic() + PRIME_S
        for rows in (1, max(len(values) // 2, 1), len(values), len(values)):
            self.learn(values[:rows], self._worker.answer(list(values[:rows])))
            if time.monotonic() > ends:
                break
        self._looked_up = 0.0
        self.renew()

    def renew(self) -> None:
        """Look the costs up that the model has learnt since; what they have taken in is no longer left to the ratio."""
        if time.monotonic() - self._looked_up < REFRESH_S:
            return
        tables, length = look_up(self._worker), self._length.value
        scale = at(self._tables.good, length) / at(tables.good, length)
        # In one step: others ask in the meantime.
        self._tables = Tables(
            *([scale * number for number in table] for table in (tables.share, tables.good, tables.call))
        )
        self._looked_up = time.monotonic()

    def learn_lag(self, seconds: float) -> None:
        """The event loop came so late to a window's answers."""
        self._lag.learn(seconds, 1.0, seconds=0.0)

    def doubt(self) -> None:
        """Somebody was refused though nothing else was to do: what was measured may be wrong, and is tried again."""
        if (now := time.monotonic()) - self._doubted >= DOUBT_S:
            self._trust, self._doubted = max(DOUBT * self._trust, LEAST_TRUST), now

    def _size(self, value: Any) -> int:
        """What can be told of a row before it is encoded: letters, steps, bytes; 1 of what is none of these."""
        return max(len(value), 1) if isinstance(value, str | bytes | list | tuple) else 1


def look_up(worker: Worker) -> Tables:
    """What the model's costs say now."""
    most = max(min(worker.max_rows, int(ROW_KNOTS[-1])), 1)
    rows = np.unique(np.append(ROW_KNOTS[most >= ROW_KNOTS], most))
    seconds = worker.costs.seconds(rows[:, None], LENGTH_KNOTS[None, :])
    shares = seconds / rows[:, None]
    best = shares.min(axis=0)
    good = seconds[np.argmax(shares <= GOOD * best, axis=0), np.arange(len(LENGTH_KNOTS))]
    return Tables(best.tolist(), good.tolist(), np.maximum(seconds[0] - best, 0.0).tolist())


def at(table: Sequence[float], length: float) -> float:
    """A table over LENGTH_KNOTS, between which it is interpolated."""
    right = bisect_left(KNOTS, length, 1, len(KNOTS) - 1)
    left_knot, right_knot = KNOTS[right - 1], KNOTS[right]
    part = min(max((length - left_knot) / (right_knot - left_knot), 0.0), 1.0)
    return table[right - 1] * (1 - part) + table[right] * part


KNOTS: list[float] = LENGTH_KNOTS.tolist()
