"""Costs: what a micro-batch of some rows and some length takes on this host, from what was measured."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Where the correction is kept: half octaves of rows and of lengths. Between them it is interpolated.
ROW_KNOTS = np.asarray([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024], dtype=np.float64)
LENGTH_KNOTS = np.asarray(
    [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192], dtype=np.float64
)
LOG_ROWS, LOG_LENGTHS = np.log2(ROW_KNOTS), np.log2(LENGTH_KNOTS)
#: A measurement speaks for shapes within about so many octaves.
REACH_OCTAVES = 0.35
#: Calls that a shape remembers: older ones fade, so that a host that becomes slower is noticed.
MEMORY_CALLS = 32.0
#: What one of everybody's measurements weighs beside those nearby: enough to decide where there are none.
EVERYBODY = 0.05
#: A shape that was never tried here is taken for so much faster than it is expected to be, so that it is tried.
CURIOSITY = 0.04

#: Seconds a call, a row, a padded token and a row x length x length: of a small network, until something is known.
UNKNOWN = (5e-4, 2e-5, 2e-5, 0.0)


class Costs:
    """Seconds of a micro-batch by its shape: a formula, corrected by what calls of like shape took.

    The formula is `call + row * rows + token * rows * length + square * rows * length ** 2` with the coefficients of
    a prior: measured once on some host and shipped with the artifact. The correction is a table over half octaves
    of rows and length. What was measured counts for shapes nearby; the mean of all measurements counts where nothing
    is near, so a host that is three times slower is known as such after one call. Observing is a few additions, and
    safe among threads.

    Args:
        prior: the four coefficients, in seconds.
        flops: floating-point operations a piece, a step and a step squared, for reports; None where nobody counted.
    """

    def __init__(self, prior: Sequence[float] = UNKNOWN, *, flops: Sequence[float] | None = None) -> None:
        self.prior = tuple(float(coefficient) for coefficient in prior)
        self.flops = tuple(float(coefficient) for coefficient in flops) if flops is not None else None
        shape = (len(ROW_KNOTS), len(LENGTH_KNOTS))
        self._measured, self._expected, self._calls = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._lock = threading.Lock()
        self._table: NDArray[np.float64] | None = None
        self._curious: NDArray[np.float64] | None = None

    @property
    def calls(self) -> float:
        """How many calls are remembered."""
        return float(self._calls.sum())

    @property
    def are_known(self) -> bool:
        """Whether anything was measured, here or where the artifact was made."""
        return self.prior != UNKNOWN or self.calls > 0

    def formula(self, rows: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.float64]:
        """The prior's seconds, without the correction."""
        call, row, token, square = self.prior
        return np.asarray(call + rows * (row + lengths * (token + lengths * square)), dtype=np.float64)

    def observe(self, rows: int, length: int, seconds: float) -> None:
        """Learn from one call."""
        at = nearest(LOG_ROWS, rows), nearest(LOG_LENGTHS, length)
        expected = float(self.formula(np.asarray(rows), np.asarray(length)))
        with self._lock:
            fade = 1 - 1 / MEMORY_CALLS if self._calls[at] >= MEMORY_CALLS else 1.0
            self._measured[at] = self._measured[at] * fade + seconds
            self._expected[at] = self._expected[at] * fade + expected
            self._calls[at] = self._calls[at] * fade + 1
            self._table = None

    def take_over(self, other: Costs) -> None:
        """Know what another knows, and nothing else: it measured in another process."""
        with self._lock:
            self.prior, self.flops = other.prior, other.flops
            self._measured, self._expected, self._calls = other._measured, other._expected, other._calls
            self._table = None

    def seconds(self, rows: Any, lengths: Any) -> NDArray[np.float64]:
        """What calls of these shapes take.

        Args:
            rows, lengths: numbers or arrays that broadcast against each other.
        """
        rows, lengths = np.broadcast_arrays(np.asarray(rows, np.float64), np.asarray(lengths, np.float64))
        table, _ = self._tables()
        i, right = between(LOG_ROWS, rows)
        j, up = between(LOG_LENGTHS, lengths)
        correction = (table[i, j] * (1 - up) + table[i, j + 1] * up) * (1 - right)
        correction += (table[i + 1, j] * (1 - up) + table[i + 1, j + 1] * up) * right
        return np.asarray(self.formula(rows, lengths) * np.exp(correction))

    def planning(self, max_rows: int, lengths: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the planner minimises, for 1..max_rows rows of each length; shape (lengths, max_rows).

        As `seconds`, but a shape that was never tried here counts as a little faster: so it will be tried.
        """
        rows = np.arange(1, max_rows + 1, dtype=np.float64)
        table, curious = self._tables()
        j, up = between(LOG_LENGTHS, lengths)
        by_knot = (table - curious).T
        at_length = by_knot[j] * (1 - up)[:, None] + by_knot[j + 1] * up[:, None]
        i, right = between(LOG_ROWS, rows)
        correction = at_length[:, i] * (1 - right) + at_length[:, i + 1] * right
        return np.asarray(self.formula(rows, lengths[:, None]) * np.exp(correction))

    def _tables(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logarithm of measured over formula, and how curious to be, at every knot."""
        with self._lock:
            if self._table is None or self._curious is None:
                near_rows, near_lengths = nearness(LOG_ROWS), nearness(LOG_LENGTHS)
                tried = self._calls > 0
                ratio = np.log(np.where(tried, self._measured, 1.0) / np.where(tried, self._expected, 1.0))
                # However often the job's favourite shapes are called, they must not outvote what is nearer.
                weight = self._calls / (self._calls + 1)
                overall = float((ratio * weight).sum() / weight.sum()) if weight.any() else 0.0
                evidence = near_rows @ weight @ near_lengths
                self._table = (near_rows @ (ratio * weight) @ near_lengths + EVERYBODY * overall) / (
                    evidence + EVERYBODY
                )
                self._curious = CURIOSITY * EVERYBODY / (evidence + EVERYBODY)
            return self._table, self._curious

    def to_json(self) -> dict[str, Any]:
        """Everything, for a file; `from_json` reads it."""
        with self._lock:
            tried = np.argwhere(self._calls > 0)
            shapes = [
                [int(ROW_KNOTS[i]), int(LENGTH_KNOTS[j]), *(float(f"{array[i, j]:.6g}") for array in
                 (self._measured, self._expected, self._calls))] for i, j in tried
            ]  # fmt: skip
        content: dict[str, Any] = {"prior": [float(f"{number:.6g}") for number in self.prior], "shapes": shapes}
        return content | ({"flops": list(self.flops)} if self.flops is not None else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Costs:
        """What `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        prior = [float(number) for number in content["prior"]]
        if len(prior) != len(UNKNOWN) or min(prior) < 0 or not sum(prior) > 0:
            raise ValueError(f"expected {len(UNKNOWN)} coefficients of at least 0, found {prior}")
        costs = cls(prior, flops=content.get("flops"))
        for rows, length, measured, expected, calls in content.get("shapes", []):
            at = nearest(LOG_ROWS, rows), nearest(LOG_LENGTHS, length)
            if not (measured > 0 and expected > 0 and calls > 0):
                raise ValueError(f"expected seconds and calls above 0, found {measured}, {expected}, {calls}")
            costs._measured[at], costs._expected[at], costs._calls[at] = measured, expected, calls
        return costs


def fit_prior(rows: NDArray[Any], lengths: NDArray[Any], seconds: NDArray[Any]) -> tuple[float, ...]:
    """The formula's coefficients, none below 0, whose relative errors over the measured shapes are least."""
    terms = np.stack([np.ones_like(rows), rows, rows * lengths, rows * lengths**2], axis=1).astype(np.float64)
    return tuple(float(coefficient) for coefficient in fit_non_negative(terms / seconds[:, None]))


def fit_non_negative(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of ones by the columns, no coefficient below 0: the best of every choice of columns.

    Exact, for at the optimum the columns that count are fitted freely; 2**columns fits, so for a handful of columns.
    """
    count, columns = terms.shape
    scale = np.linalg.norm(terms, axis=0)
    scale[scale == 0] = 1.0
    best, least = np.zeros(columns), float(count)
    for chosen in product((False, True), repeat=columns):
        if any(chosen):
            mask = np.array(chosen)
            fitted, *_ = np.linalg.lstsq(terms[:, mask] / scale[mask], np.ones(count), rcond=None)
            missed = float(np.sum((terms[:, mask] / scale[mask] @ fitted - 1.0) ** 2))
            if (fitted >= 0).all() and missed < least:
                best, least = np.zeros(columns), missed
                best[mask] = fitted / scale[mask]
    return best


def between(knots: NDArray[np.float64], numbers: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The knot below each number and how far it is to the next one, 0 to 1; outside, the last two decide."""
    logs = np.log2(np.maximum(np.asarray(numbers, dtype=np.float64), 1.0))
    low = np.clip(np.searchsorted(knots, logs, side="right") - 1, 0, len(knots) - 2)
    return low, np.clip((logs - knots[low]) / (knots[low + 1] - knots[low]), 0.0, 1.0)


def nearest(knots: NDArray[np.float64], number: float) -> int:
    return int(np.argmin(np.abs(knots - np.log2(max(number, 1)))))


def nearness(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much a measurement at one knot says of another: 1 for itself, e**-1/2 at REACH_OCTAVES."""
    return np.asarray(np.exp(-0.5 * ((knots[:, None] - knots[None, :]) / REACH_OCTAVES) ** 2))
