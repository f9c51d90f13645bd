"""Search: which rows of a run are poison, as far as it is known, and the search for more after a worker's death."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from batch.supervise.bisect import ALONE, Passed, Probe, Suspects, find_poison
from batch.supervise.ending import Ending
from batch.supervise.guardian import suspects_of
from batch.supervise.journal import Call, Journal
from models.model import RowFault

#: So many rows before those in flight may be tried, to see whether any passes.
CONTROLS = 64
#: The step of a call -> how likely it is that a row ended it there.
LIKELIEST = {"forward": 0, "encode": 1, "decode": 2}


@dataclass(slots=True, kw_only=True)
class Search:
    """Which rows of a shard are poison is being found out.

    Attributes:
        shard: its number.
        probes: asks for probes; see find_poison.
        probe: the one asked for.
        endings: row -> how its process ended when it was tried alone.
    """

    shard: int
    probes: Generator[Probe, Passed | None, list[int]]
    probe: Probe
    endings: dict[int, Ending] = field(default_factory=dict)


class Poison:
    """The rows of a run that the model is not shown any more.

    Attributes:
        faults: shard -> row -> the fault that it ends with.
        is_any_well: whether anything has come back from the model in this run.
    """

    def __init__(self, *, is_believed: bool) -> None:
        """Begin; rows that are believed to be at fault, because they were error rows before, take less to convict."""
        self.faults: defaultdict[int, dict[int, RowFault]] = defaultdict(dict)
        self.is_any_well = False
        self._is_believed = is_believed

    def search(self, number: int, calls: Sequence[Call], *, flight: range) -> Search | None:
        """Begin to look for the rows of a shard that ended its process; None where no row can be why.

        Args:
            number: the shard's.
            calls: that had not come back.
            flight: the shard's rows on their way.
        """
        known = self.faults[number]
        groups = [
            Suspects(rows=rows, step=call.step)
            for call in sorted(calls, key=lambda call: LIKELIEST[call.step])
            if (rows := [row for row in call.rows if row not in known])
        ]
        controls = [row for row in near(flight) if row not in known]
        probes = find_poison(groups, controls, is_any_well=self.is_any_well, is_believed=self._is_believed)
        try:
            return Search(shard=number, probes=probes, probe=next(probes))
        except StopIteration:
            return None

    def answer(self, search: Search, came: Passed | None) -> Mapping[int, Ending] | None:
        """A probe is done: the next one is asked for, or rows are convicted.

        Args:
            search: whose probe.
            came: what came of it; None where that says nothing.

        Returns:
            The rows at fault and how they ended their processes; None where the search goes on.

        Raises:
            Interrupted: whatever is wrong is not the rows.
        """
        self.is_any_well |= came is not None and came.shown > 0
        try:
            search.probe = search.probes.send(came)
        except StopIteration as end:
            convicted = {row: search.endings[row] for row in end.value}
            self.faults[search.shard].update({row: fault_of(ending) for row, ending in convicted.items()})
            return convicted
        return None


def fault_of(ending: Ending) -> RowFault:
    """What the error row says of a row that ended its process whenever it was alone there."""
    return RowFault(kind=ending.kind, message=f"its process {ending.reason}, {ALONE} times alone", attempts=ALONE + 1)


def passed_before(probe: Probe, journal: Journal, ending: Ending) -> Passed | None:
    """What had come of a probe when its process ended; None where that says nothing of the rows that should pass."""
    calls = suspects_of(journal, ending)
    if probe.is_control and not calls:
        return None
    if not (probe.is_singly and calls) or probe.is_elsewhere:
        return Passed()
    # Tried one after another, its rows have the positions 0, 1, ...: those before the one in hand have passed.
    return Passed(rows=min(call.rows[0] for call in calls), shown=journal.in_flight.start)


def near(flight: range) -> range:
    """Rows that were answered before a process died, and those that came with the ones that it died of."""
    return range(max(flight.start - CONTROLS, 0), flight.stop)
