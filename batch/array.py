"""Array: the shards that one machine of an array runs, which shares nothing with the others but the store.

All follow the one plan. Each runs its own share, in order; then it helps with what has no part yet, in an order of its
own, until every part is there. Nobody holds a lease and nobody looks at a clock: whoever dies has left shards without a
part, and whoever is left runs them. A shard that two have in hand is safe, as the first part counts, and costs its
arithmetic.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from batch.commit import list_parts
from batch.errors import UsageError
from batch.prepare import Prepared
from batch.progress import PassingProgress, Progress
from batch.shard import Plan, Shard
from batch.spec import JobSpec

#: Where a machine is told its number: by AWS Batch, and by an Indexed Job of Kubernetes.
INDEX_NAMES = ("AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX")
#: AWS Batch: of a child of an array job, ending with `:` and its number; how many there are.
ID_NAME, SIZE_NAME = "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ARRAY_SIZE"
#: Keys that one request of a listing tells of.
PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which machine this is: number `index` of `size`. One beyond them has no share of its own, and only helps."""

    index: int
    size: int

    def holds(self, position: int, total: int) -> bool:
        """Whether the shard at this position of `total` planned ones is of this machine's share."""
        return owner_of(position, total, self.size) == self.index


def owner_of(position: int, total: int, size: int) -> int:
    """The machine in whose share a shard is: shares are runs of neighbours, as even as can be."""
    return position * size // total


def find_place(job: JobSpec, environ: Mapping[str, str] = os.environ) -> Place:
    """Which machine of the array this is, by the job's settings, else by what started it.

    Raises:
        UsageError: neither says so, or what started it says something else than a number.
    """
    size = job.array_size
    if size is None:
        size = read_number(environ, SIZE_NAME)
    if not size:
        raise UsageError(
            "--engine array needs to know how many machines share the job; give all of them the same --array-size, "
            "such as --array-size 20."
        )
    index = job.array_index
    for name in INDEX_NAMES:
        index = read_number(environ, name) if index is None else index
    child = environ.get(ID_NAME, "").rpartition(":")[2]
    if index is None and child.isdecimal():
        index = int(child)
    if index is None and size == 1:
        index = 0
    if index is None:
        raise UsageError(
            f"--engine array needs to know which of {size} machines this is; AWS Batch and Kubernetes say so "
            f"({', '.join(INDEX_NAMES)}), elsewhere give each its own --array-index, from 0 to {size - 1}."
        )
    return Place(index=index, size=size)


def read_number(environ: Mapping[str, str], name: str) -> int | None:
    """A number of the environment; None where there is none.

    Raises:
        UsageError: it is none.
    """
    text = environ.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise UsageError(f"{name}: expected a number from 0, found {text[:60]!r}. Unset it, or give --array-index.")
    return int(text)


class Turns:
    """The order in which one machine takes shards; an iterator of their numbers in `todo`, each once.

    A listing is made anew after as many shards as it costs requests, so that the looking costs no more than the asking
    for each part would. Of other shares the first shard without a part is probably in somebody's hands: it comes last.

    Args:
        place: which machine this is.
        todo: the shards without a part when the machine came; each with its position among all that are planned.
        total: how many are planned.
        look: ids of the shards that have a part now.
        draw: this machine's own.
    """

    def __init__(
        self,
        place: Place,
        todo: Sequence[tuple[int, Shard]],
        *,
        total: int,
        look: Callable[[], Collection[str]],
        draw: random.Random,
    ) -> None:
        self._place, self._todo, self._total, self._look, self._draw = place, todo, total, look, draw
        self._left = set(range(len(todo)))
        self._next = [
            number for number in reversed(range(len(todo))) if place.holds(todo[number][0], total)
        ]  # the last is taken first

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if not self._next:
            self._next = self._others()
        if not self._next:
            raise StopIteration
        number = self._next.pop()
        self._left.discard(number)
        return number

    def stumble(self) -> None:
        """Somebody else had the same shard in hand: go on elsewhere, or the two stay side by side to the end."""
        self._draw.shuffle(self._next)

    def _others(self) -> list[int]:
        """The next shards to help with; none where every part is there, or in hand here."""
        there = self._look()
        self._left = {number for number in self._left if self._todo[number][1].id not in there}
        first: dict[int, int] = {}
        for number in sorted(self._left):
            first.setdefault(owner_of(self._todo[number][0], self._total, self._place.size), number)
        in_hand = set(first.values())
        free = [number for number in sorted(self._left) if number not in in_hand] or sorted(in_hand)
        return self._draw.sample(free, min(len(free), max(1, self._total // PAGE)))


class ArrayProgress(PassingProgress):
    """Passes on what is told, and has the machine go elsewhere where another one was at the same shard."""

    def __init__(self, progress: Progress, turns: Turns) -> None:
        super().__init__(progress)
        self._turns = turns

    def told(self, event: str, **facts: object) -> None:
        super().told(event, **facts)
        if event == "already committed" and "rows" in facts:  # after its rows had gone through the model
            self._turns.stumble()


def take_turns(prepared: Prepared, todo: Sequence[tuple[Plan, Shard]], place: Place) -> Turns:
    """The order in which this machine runs what is left of a job.

    Args:
        prepared: the job.
        todo: its shards without a part.
        place: which machine this is.
    """
    positions = {shard.id: position for position, (_, shard) in enumerate(prepared.shards)}
    return Turns(
        place,
        [(positions[shard.id], shard) for _, shard in todo],
        total=len(positions),
        look=lambda: list_parts(prepared.target, prepared.record.fingerprint, list(prepared.plans)),
        draw=random.Random(prepared.attempt),  # machines that are told the same number differ in it
    )
