"""Batch-mates: the same rows alone, in pairs, and all together, to see whether they change each other's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError, OutOfMemory
from models.model import Encoded, MicroBatch, Model, Outputs, RowFault
from models.window import Watched

#: Pieces that are sent through again among other batch-mates.
PIECES = 12
#: What they may cost all together, padding included, in what they cost alone: the longest of them stay out of it.
TOGETHER = 2

Group = NDArray[np.int64]


def pick_pieces(encoded: Encoded, row: int | None) -> Group:
    """The shortest and the longest pieces, those of the named row, and others evenly between them by length."""
    order = np.argsort(encoded.lengths, kind="stable")
    if len(order) > PIECES:
        order = order[np.linspace(0, len(order) - 1, PIECES).astype(np.int64)]
    named = np.flatnonzero(encoded.piece_rows == (-1 if row is None else row))
    # A row of several pieces is answered by all of them.
    return np.flatnonzero(np.isin(encoded.piece_rows, encoded.piece_rows[np.concatenate([order, named])]))


def compositions_of(model: Model, encoded: Encoded, pieces: Group) -> dict[str, list[Group]]:
    """What the pieces go through together with: a name -> the groups. What the model takes one by one stays alone."""
    found = {"alone": [pieces[i : i + 1] for i in range(len(pieces))]}
    if model.max_rows == 1 or len(pieces) < 2:
        return found
    shuffled = np.random.default_rng(0).permutation(pieces)
    pairs = [shuffled[i : i + 2] for i in range(0, len(shuffled), 2)]
    mates = fitting_mates(encoded, pieces)
    together = [mates[i : i + model.max_rows] for i in range(0, len(mates), model.max_rows)]
    if not getattr(model, "pads", True):
        by_length = [pieces[encoded.lengths[pieces] == length] for length in np.unique(encoded.lengths[pieces])]
        pairs = [group[i : i + 2] for group in by_length for i in range(0, len(group), 2)]
        together = [group[i : i + model.max_rows] for group in by_length for i in range(0, len(group), model.max_rows)]
    return found | {"in pairs": pairs, "together": together}


def fitting_mates(encoded: Encoded, pieces: Group) -> Group:
    """The pieces but the longest, as many as it takes to keep within TOGETHER."""
    lengths = np.sort(encoded.lengths[pieces])
    padded = lengths * np.arange(1, len(lengths) + 1)
    longest = lengths[padded <= TOGETHER * lengths.sum()].max()
    return np.asarray(pieces[encoded.lengths[pieces] <= longest])


def compose(
    model: Model, encoded: Encoded, groups: Sequence[Group], outputs: Outputs, watched: Watched | None = None
) -> Outputs:
    """Answer the groups' pieces again, each group as one micro-batch, in place of what `outputs` has for them."""
    arrays = {name: array.copy() for name, array in outputs.arrays.items()}
    faults = dict(outputs.faults)

    def answer(group: Group) -> Mapping[str, NDArray[Any]] | RowFault | None:
        micro_batch = collated(model, encoded, group)
        if micro_batch is None:
            return None
        try:
            with nullcontext() if watched is None else watched(group, 0.0):
                return model.forward(micro_batch)
        except (ModelError, OutOfMemory):
            return None
        except Exception as error:  # as in a window: what a runtime raises is the rows' fault
            return RowFault(kind=type(error).__name__, message=str(error))

    with ThreadPoolExecutor(max(model.streams, 1), thread_name_prefix="stream") as streams:
        answered = list(streams.map(answer, groups))
    for group, answers in zip(groups, answered, strict=True):
        if isinstance(answers, RowFault):
            faults |= dict.fromkeys(group.tolist(), answers)
        elif answers is not None:
            for name, array in arrays.items():
                array[group] = answers[name]
            for piece in group.tolist():
                faults.pop(piece, None)
    return Outputs(arrays=arrays, faults=faults)


def collated(model: Model, encoded: Encoded, group: Group) -> MicroBatch | None:
    """The group as one micro-batch; None where its pieces do not go together, such as images of several sizes."""
    largest = getattr(model, "max_padded", None)
    if largest is not None and len(group) > 1 and len(group) * int(encoded.lengths[group].max()) > largest:
        return None
    try:
        found: MicroBatch = model.collate(encoded, group)
    except ValueError:
        return None
    return found


def first_array(outputs: Outputs) -> NDArray[Any] | None:
    """The numbers that are decoded."""
    return next(iter(outputs.arrays.values()), None)
