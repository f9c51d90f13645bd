"""Key: a caller who may come in, what he may do, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.door.scope import ACTIONS, Scope
from service.operations import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many requests in so many seconds; as many may come at once."""

    requests: int
    per_s: int

    def __str__(self) -> str:
        return f"{self.requests}/{next(unit for unit, seconds in UNITS.items() if seconds == self.per_s)}"


UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who asks, as `scope["tandem.key"]` has it behind the door.

    Attributes:
        name: as the operator calls it, for the logs; empty for a caller without a key.
        scopes: what it may do.
        rate: of requests; None: as many as come.
        max_body_bytes: of one request, instead of the server's own limit.
        max_rows: of one request.
        expires: from then on it is no key any more.
    """

    name: str
    scopes: tuple[Scope, ...] = ()
    rate: Rate | None = None
    max_body_bytes: int | None = None
    max_rows: int | None = None
    expires: datetime | None = None

    def may(self, action: Action) -> bool:
        """Whether it may do so with any model at all."""
        return any(scope.action == action for scope in self.scopes)

    def reaches(self, action: Action, tag: str) -> bool:
        """Whether it may do so with this model, `name:version`."""
        return any(scope.action == action and scope.reaches(tag) for scope in self.scopes)

    def reaches_all(self, action: Action) -> bool:
        """Whether it may do so with every model."""
        return any(scope.action == action and scope.models == "*" for scope in self.scopes)


#: A caller of a server that asks for no keys.
EVERYBODY = Key(name="", scopes=tuple(Scope(action=action) for action in ACTIONS))
#: A caller without a key of a server that asks for one: what is open to all is all that he has.
NOBODY = Key(name="")


def read_rate(text: str) -> Rate:
    """`100/s`, `600/m` or `1000/h`.

    Raises:
        ValueError: it is something else.
    """
    count, _, unit = text.partition("/")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= 1_000_000 and unit in UNITS):
        raise ValueError(f"{text!r} is no rate; expected a number, and /s, /m or /h, such as 100/s")
    return Rate(requests=int(count), per_s=UNITS[unit])
