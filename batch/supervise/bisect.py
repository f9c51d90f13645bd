"""Bisect: which rows of a process that died are poison, by trying them in others, with few calls of the model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from batch.errors import Interrupted
from batch.supervise.journal import Step

#: A row is poison once it has failed so often alone, each time in a process that did nothing before.
ALONE = 2
#: So many rows are tried one after another in one process: which of them ended it is seen at once.
FEW = 4
#: Rows that fail alone, and no other that passes: then it is not the rows.
ALL_FAIL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """Rows that were in one call when their process died.

    Attributes:
        rows: their positions in the shard.
        step: the step of the call: what it takes to see whether they were it.
    """

    rows: Sequence[int]
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Some rows of a shard to be sent through the model by themselves.

    Attributes:
        rows: their positions in the shard.
        step: the last step that they go through.
        is_fresh: in a process that did nothing before.
        is_singly: one after another, rather than together.
        is_control: and no further than to the first that the model is shown: a null, say, never comes so far.
        is_answered: they are counted among the rows that the shard's part has answers for, which a retry reads again.
        is_elsewhere: they are none of the shard's: 0 stands for samples that come along, more for rows of other shards.
    """

    rows: tuple[int, ...]
    step: Step
    is_fresh: bool = False
    is_singly: bool = False
    is_control: bool = False
    is_answered: bool = False
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What came of a probe.

    Attributes:
        rows: that passed before their process ended; all of them where it did not.
        shown: those of them that the model was shown. One that is at fault before, as a null is, passes whatever is
            wrong with the model: it shows nothing.
    """

    rows: int = 0
    shown: int = 0


def find_poison(
    groups: Sequence[Suspects],
    controls: Sequence[int] = (),
    *,
    is_any_well: bool = True,
    is_believed: bool = False,
) -> Generator[Probe, Passed | None, list[int]]:
    """Ask for probes until it is known which rows are poison.

    After each it is sent what came of it; None where that says nothing: the shard has no such row, or its process ended
    before the model was called.

    A group is tried as it was, then in halves, then a FEW rows one after another; where all pass, nothing more is
    asked. The likeliest group comes first, and no other once one is convicted: a death has one cause. Among n rows with
    one bad one that is a call for all, two for each size below down to FEW, those, and ALONE more: at most 4 * log2(n).

    Args:
        groups: the suspects, the likeliest first.
        controls: other rows of the shard, to see whether any passes at all.
        is_any_well: whether the model has answered anything yet in this run; else that is seen first.
        is_believed: the suspects were error rows before: where none of them passes, it takes rows that were answered
            before to see whether any does.

    Returns:
        The rows that failed ALONE times alone while others passed.

    Raises:
        Interrupted: rows failed alone and not one passed: whatever is wrong is not the row.
    """
    if groups and not (is_any_well or is_believed):
        yield from see_one_pass(controls)
    is_any_well = False
    accused: list[int] = []
    for group in groups:
        pending = [tuple(group.rows)]
        while pending and (is_any_well or len(accused) < ALL_FAIL):
            rows = pending.pop()
            if len(rows) > FEW:
                came = yield Probe(rows=rows, step=group.step)
                if came is None:
                    continue
                is_any_well |= came.shown > 0
                if not came.rows:
                    middle = len(rows) // 2
                    pending += [rows[middle:], rows[:middle]]
                continue
            came = (yield Probe(rows=rows, step=group.step, is_singly=True)) if len(rows) > 1 else Passed()
            if came is None:
                continue
            is_any_well |= came.shown > 0
            if came.rows == len(rows):
                continue
            alone = yield from try_alone(rows[came.rows])
            is_any_well |= alone.shown > 0
            if not alone.rows:
                accused.append(rows[came.rows])
                if is_believed and not is_any_well and len(accused) == 1:
                    is_any_well = yield from see_answered_pass()
            if came.rows + 1 < len(rows):
                pending.append(rows[came.rows + 1 :])
        if accused:
            break
    if not accused or is_any_well:
        return accused
    others = [*controls, *(row for group in groups for row in group.rows)]
    yield from see_one_pass([row for row in others if row not in accused], failed=len(accused))
    return accused


def see_one_pass(rows: Sequence[int], *, failed: int = 0) -> Generator[Probe, Passed | None, None]:
    """Try rows until the model was shown one and it passed; after one that did not, go on in a fresh process.

    Where every row of the shard that the model is shown may be poison, rows from elsewhere tell.

    Raises:
        Interrupted: none did, nor did the `failed` ones before. Where there is no row to try, that is no evidence.
    """
    witnesses = sorted(set(rows))
    ended = 0
    while witnesses and ended < ALL_FAIL:
        came = yield witness(witnesses)
        if came is None:
            break
        if came.shown:
            return
        ended += came.rows < len(witnesses)
        witnesses = witnesses[came.rows + 1 :]
    ended += failed
    if failed or ended > 1:
        for place in range(ALL_FAIL):
            came = yield witness([place], is_elsewhere=True)
            if came is not None and came.shown:
                return
            ended += came is not None and not came.rows
    if ended > 1:
        raise Interrupted(
            f"{ended} rows ended a worker each, alone in a fresh process, and none passed: "
            "that is the model, the device or the machine, not the rows"
        )


def witness(rows: Sequence[int], *, is_elsewhere: bool = False) -> Probe:
    """Rows of which one is to pass, to see that the model does anything at all."""
    return Probe(
        rows=tuple(rows), step="decode", is_fresh=True, is_singly=True, is_control=True, is_elsewhere=is_elsewhere
    )


def see_answered_pass() -> Generator[Probe, Passed | None, bool]:
    """Try a few rows that have answers until one passes; False where there are too few to tell.

    Raises:
        Interrupted: none did.
    """
    for place in range(ALL_FAIL):
        came = yield Probe(rows=(place,), step="decode", is_fresh=True, is_answered=True)
        if came is None or came.rows:
            return came is not None and came.shown > 0
    raise Interrupted(
        f"{ALL_FAIL} rows that were answered before ended a worker each, alone in a fresh process: "
        "that is the model, the device or the machine, not the rows"
    )


def try_alone(row: int) -> Generator[Probe, Passed | None, Passed]:
    """What comes of a row by itself: none passed where it failed ALONE times. One that is not there is not at fault."""
    for _ in range(ALONE):
        came = yield Probe(rows=(row,), step="decode", is_fresh=True)
        if came is None:
            return Passed(rows=1)
        if came.rows:
            return came
    return Passed()
