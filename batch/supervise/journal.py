"""Journal: what a process has in hand, in memory that its supervisor shares, so that a SIGKILL loses nothing of it."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import DeviceFailed

Step = Literal["encode", "forward", "decode"]
STEPS: tuple[Step, ...] = ("encode", "forward", "decode")

#: Calls that are noted at once: of 64 streams, of encoding and of decoding. Further ones are not.
SLOTS = 66
#: Rows that a call is noted with one by one; of a larger one it is the span from its first to its last.
ROWS = 1024
_HEAD, _SLOT = 12, 5 + ROWS
#: Bytes of an account of what is done.
ACCOUNT_BYTES = 8192
_ACCOUNTS = 8 * (_HEAD + SLOTS * _SLOT)
#: The size of the memory that is shared.
SIZE_BYTES = _ACCOUNTS + 2 * ACCOUNT_BYTES
_ENDED, _SHARD, _LEFT, _ENTERED, _BOUND, _STALL, _CLAIMED, _BEGUN, _ACCOUNT, _JSON = 0, 1, 3, 4, 5, 6, 7, 8, 9, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of the model's code that has not come back.

    Attributes:
        number: tells it from every other call of its process.
        step: what it does.
        rows: positions of its rows among those that the shard lets in, from 0.
        expected_s: what it was expected to take; 0 where nobody knew.
    """

    number: int
    step: Step
    rows: Sequence[int]
    expected_s: float


class Journal:
    """The one who works writes, the one who supervises reads, at any time and also after the writer's death.

    A note costs a few microseconds. Rows are named by their position among those that the shard lets in: the same in
    every run of it.

    Args:
        memory: SIZE_BYTES of zeros that both processes have.
    """

    def __init__(self, memory: Any) -> None:
        octets = memoryview(memory).cast("B")
        self._words, self._accounts = octets[:_ACCOUNTS].cast("q"), octets[_ACCOUNTS:]
        self._free = deque(range(SLOTS))
        self._numbers = itertools.count(1)

    def begin(self, shard: str) -> None:
        """A shard's journey begins: nothing of it is in flight."""
        self._words[_LEFT] = self._words[_ENTERED] = 0
        self._words[_BEGUN] = int(time.perf_counter() * 1000)
        self._words[_SHARD], self._words[_SHARD + 1] = (int(half or "0", 16) for half in (shard[:10], shard[10:]))

    def enter(self, rows: int) -> None:
        """So many rows of the shard have come to encoding by now."""
        self._words[_ENTERED] = rows

    def leave(self, rows: int) -> None:
        """So many rows of the shard are answered and written by now."""
        self._words[_LEFT] = rows

    @contextmanager
    def call(self, step: Step, rows: Any, expected_s: float = 0.0) -> Iterator[None]:
        """Note a call for as long as it lasts.

        Args:
            step: what it does.
            rows: its rows' positions: a range, or an array of 64-bit integers.
            expected_s: what it is expected to take.
        """
        try:
            slot = self._free.popleft()
        except IndexError:  # more at once than anybody should need
            yield
            return
        at = _HEAD + slot * _SLOT
        words = self._words
        if isinstance(rows, range):
            words[at + 3], words[at + 4] = rows.start, len(rows)
        elif len(rows) > ROWS:
            words[at + 3], words[at + 4] = int(min(rows)), int(max(rows)) - int(min(rows)) + 1
        else:
            words[at + 3], words[at + 4] = -1, len(rows)
            words[at + 5 : at + 5 + len(rows)] = memoryview(rows).cast("B").cast("q")
        words[at + 1], words[at + 2] = STEPS.index(step), int(expected_s * 1000)
        words[at] = next(self._numbers)  # last: a reader takes the others for true by then
        try:
            yield
        except DeviceFailed:
            raise  # and stays noted: the rows of this call may be why
        except BaseException:
            self._clear(slot)
            raise
        else:
            self._clear(slot)

    def _clear(self, slot: int) -> None:
        self._words[_HEAD + slot * _SLOT] = 0
        self._free.append(slot)

    def arm(self, *, stall_s: float, bound_bytes: int | None) -> None:
        """Say for how long a call may be silent here, and what this process may hold in memory."""
        self._words[_STALL], self._words[_BOUND] = int(stall_s * 1000), bound_bytes or 0

    def disarm(self) -> None:
        """No row of the job is in hand any more."""
        self._words[_STALL] = self._words[_BOUND] = 0

    def write_json(self) -> None:
        """The job's lines are JSON; so is the last one, whoever has to write it."""
        self._words[_JSON] = 1

    def claim(self) -> None:
        """The job has its output: whoever goes on with it has nothing to remove from there."""
        self._words[_CLAIMED] = 1

    def count(self, account: Mapping[str, Any]) -> None:
        """Note what is done by now. It is whole whenever the process ends: of two places the last is left as it was."""
        content = json.dumps(account, default=float).encode()
        if len(content) > ACCOUNT_BYTES:
            return
        place = 1 if self._words[_ACCOUNT] >> 16 == 0 else 0
        self._accounts[place * ACCOUNT_BYTES :][: len(content)] = content
        self._words[_ACCOUNT] = place << 16 | len(content)

    def end(self, code: int) -> None:
        """The process is about to end by itself, with this exit code; whatever ends it from here on is no news."""
        self._words[_ENDED] = code + 1

    @property
    def calls(self) -> list[Call]:
        """The calls that have not come back, those that began first in front."""
        found = []
        words = self._words
        for at in range(_HEAD, _HEAD + SLOTS * _SLOT, _SLOT):
            number = words[at]
            if not number:
                continue
            step, expected_ms, first, count = words[at + 1 : at + 5].tolist()
            rows = range(first, first + count) if first >= 0 else words[at + 5 : at + 5 + count].tolist()
            if words[at] == number:  # else it came back meanwhile
                found.append(Call(number=number, step=STEPS[step], rows=rows, expected_s=expected_ms / 1000))
        return sorted(found, key=lambda call: call.number)

    @property
    def shard(self) -> str:
        """The shard in hand; empty where none was begun."""
        high, low = self._words[_SHARD], self._words[_SHARD + 1]
        return f"{high:010x}{low:010x}" if high or low else ""

    @property
    def in_flight(self) -> range:
        """Rows of the shard that have come to encoding and are not yet written."""
        return range(self._words[_LEFT], max(self._words[_LEFT], self._words[_ENTERED]))

    @property
    def begun(self) -> float:
        """When the shard in hand was begun, on `time.perf_counter`, which a machine's processes share."""
        return self._words[_BEGUN] / 1000

    @property
    def account(self) -> dict[str, Any] | None:
        """What was done; None where nothing was noted."""
        place, size = divmod(self._words[_ACCOUNT], 1 << 16)
        found: dict[str, Any] | None = json.loads(bytes(self._accounts[place * ACCOUNT_BYTES :][:size]) or b"null")
        return found

    @property
    def is_json(self) -> bool:
        """Whether the job's lines are JSON."""
        return bool(self._words[_JSON])

    @property
    def is_claimed(self) -> bool:
        """Whether the job has its output."""
        return bool(self._words[_CLAIMED])

    @property
    def ended(self) -> int | None:
        """The exit code that the process said it ends with."""
        return self._words[_ENDED] - 1 if self._words[_ENDED] else None

    @property
    def stall_s(self) -> float:
        """Seconds for which a call may be silent; 0 where nobody said."""
        return self._words[_STALL] / 1000

    @property
    def is_armed(self) -> bool:
        """Whether rows of the job are in its hands."""
        return bool(self._words[_STALL])

    @property
    def bound_bytes(self) -> int | None:
        return self._words[_BOUND] or None
