"""Left: the shards that no worker has in hand yet; what a worker that died had in hand comes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Left:
    """Numbers of shards, each taken once unless it is given back.

    Args:
        turns: the order in which they are taken, looked at no further ahead than the next one.
    """

    def __init__(self, turns: Iterable[int]) -> None:
        self._turns = iter(turns)
        self._back: deque[int] = deque()
        self._held: set[int] = set()

    def __bool__(self) -> bool:
        """Whether there is another one."""
        while not self._back:
            number = next(self._turns, None)
            if number is None:
                return False
            if number not in self._held:
                self._back.append(number)
        return True

    def take(self) -> int:
        """The next one; there has to be one."""
        if not self:
            raise IndexError("no shard is left")
        return self._back.popleft()

    def hold(self, number: int) -> None:
        """Somebody has this one in hand: it is not taken in its turn."""
        self._held.add(number)

    def give_back(self, number: int) -> None:
        """Of one that was in hand: it is the next one."""
        self._back.appendleft(number)
