"""One window through the model: equal rows once, like lengths together, a bad row alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError, OutOfMemory, PredictionMismatch
from models.micro_batch import plan_micro_batches
from models.model import Encoded, Model, Outputs, RowFault


@dataclass(slots=True, kw_only=True)
class WindowStats:
    """What the window cost. `padded` counts what went through the arithmetic, `real` what was not padding."""

    micro_batches: int = 0
    rows: int = 0
    padded: int = 0
    real: int = 0
    repeated: int = 0
    halved: int = 0

    def add(self, other: WindowStats) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    outputs: Outputs
    stats: WindowStats


def run_window(model: Model, encoded: Encoded) -> WindowResult:
    """Answer every piece of `encoded`, in its order.

    A micro-batch that raises is bisected until the pieces at fault stand alone: they become faults, and the others are
    answered. One that does not fit into memory is halved. Equal pieces go through the model once.

    Raises:
        PredictionMismatch: the model returned another number of answers than rows: no isolation can mend that.
        ModelError: the model itself cannot answer, whatever the row.
    """
    stats = WindowStats()
    arrays: dict[str, NDArray[Any]] = {}
    faults: dict[int, RowFault] = {}
    first, inverse = distinct_pieces(encoded)
    stats.repeated = len(inverse) - len(first)
    for chosen in plan_micro_batches(encoded.lengths[first], budget=model.budget, max_rows=model.max_rows):
        pending = [chosen]
        while pending:
            part = pending.pop()
            try:
                answers = run_micro_batch(model, encoded, first[part], stats)
            except ModelError:
                raise
            except (Exception, SystemExit) as error:  # a row whose code asks the process to end is a bad row too
                if len(part) > 1:
                    pending += [part[len(part) // 2 :], part[: len(part) // 2]]
                    stats.halved += isinstance(error, OutOfMemory)
                else:
                    faults[int(part[0])] = RowFault(kind=type(error).__name__, message=str(error)[:500])
                continue
            for name, array in answers.items():
                if name not in arrays:
                    arrays[name] = np.zeros((len(first), *array.shape[1:]), dtype=array.dtype)
                arrays[name][part] = array
    return WindowResult(
        outputs=Outputs(
            arrays={name: array[inverse] for name, array in arrays.items()},
            faults={piece: faults[int(i)] for piece, i in enumerate(inverse) if int(i) in faults} if faults else {},
        ),
        stats=stats,
    )


def run_micro_batch(
    model: Model, encoded: Encoded, pieces: NDArray[np.int64], stats: WindowStats
) -> Mapping[str, NDArray[Any]]:
    """Send the named pieces through the model once, and check that each has an answer.

    Raises:
        PredictionMismatch: fewer or more answers than pieces.
    """
    micro_batch = model.collate(encoded, pieces)
    answers = model.forward(micro_batch)
    for array in answers.values():
        if len(array) != len(pieces):
            raise PredictionMismatch(model.tag, given=len(pieces), got=len(array))
    stats.micro_batches += 1
    stats.rows += len(pieces)
    stats.padded += micro_batch.padded
    stats.real += int(encoded.lengths[pieces].sum())
    return answers


def distinct_pieces(encoded: Encoded) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find equal pieces: the first of each kind, and for every piece the position of its kind in that list."""
    seen: dict[bytes, int] = {}
    first: list[int] = []
    inverse = np.empty(len(encoded.piece_rows), dtype=np.int64)
    columns = list(encoded.features.values())
    for piece in range(len(inverse)):
        key = fingerprint([array[piece] for array in columns])
        if (kind := seen.get(key)) is None:
            kind = seen[key] = len(first)
            first.append(piece)
        inverse[piece] = kind
    return np.asarray(first, dtype=np.int64), inverse


def fingerprint(arrays: Sequence[NDArray[Any]]) -> bytes:
    """A digest of a piece's arrays: to keep their bytes as keys would hold every image of a window twice."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.digest()
