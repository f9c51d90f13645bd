"""Patience: when to ask again, and when to give up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.client.errors import Busy, ClientError, Refused, Unreachable

#: What a proxy in between says of a server that is just being replaced.
GATEWAY = frozenset({502})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call is tried.

    A server that says when to come again is asked again then, which costs none of the tries, as long as the time
    allows; whatever else is worth another try costs one, and doubles the pause.

    Attributes:
        total_s: from the first try to the begin of the last.
        tries: at most, of those that nobody asked to be repeated.
        first_pause_s, longest_pause_s: between them; each is shortened by chance, so that not all come again at once.
    """

    total_s: float = 60.0
    tries: int = 4
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0


class Attempts:
    """The tries of one call."""

    def __init__(
        self,
        patience: Patience,
        *,
        repeatable: bool,
        total_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Begin.

        Args:
            repeatable: whether the request may be done twice.
            total_s: a bound beside that of `patience`.
        """
        self.patience, self.repeatable, self.clock, self.chance = patience, repeatable, clock, chance
        self.ends = clock() + (patience.total_s if total_s is None else min(patience.total_s, total_s))
        self.failed = 0

    def pause_s(self, error: ClientError) -> float | None:
        """Seconds until the next try; None: give up, and raise the error."""
        pause = self._asked_pause_s(error)
        if pause is None and self._is_worth_another(error):
            self.failed += 1
            if self.failed < self.patience.tries:
                longest = min(self.patience.first_pause_s * 2 ** (self.failed - 1), self.patience.longest_pause_s)
                pause = longest * (0.5 + self.chance() / 2)
        return pause if pause is not None and self.clock() + pause <= self.ends else None

    def begin_anew(self) -> None:
        """Of a call that goes on: it is well, and what fails from here on is another failure."""
        self.failed = 0
        self.ends = self.clock() + self.patience.total_s

    def _asked_pause_s(self, error: ClientError) -> float | None:
        """What Retry-After asks for and up to a quarter more, for others were told the same."""
        if not isinstance(error, Busy) or error.retry_after_s is None:
            return None
        return max(error.retry_after_s, self.patience.first_pause_s) * (1 + self.chance() / 4)

    def _is_worth_another(self, error: ClientError) -> bool:
        if isinstance(error, Unreachable):
            return self.repeatable or not error.sent
        return isinstance(error, Busy) or (self.repeatable and isinstance(error, Refused) and error.status in GATEWAY)
