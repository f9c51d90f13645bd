"""What the gateway and a model's process say to each other, pickled, over a private Unix socket.

Pickles run code: they are read from nobody but processes that this server's own supervisor started, over a socket in
a folder that only its user may enter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.load import Described
    from service.lanes.worker import Answered
    from service.schemas import ModelCard
    from service.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """Who is there: the process, and whether it is at work."""

    pid: int
    busy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Take this model, instead of any other. `described` is without an own model, which the process makes itself."""

    described: Described
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What may change of a loaded model: its measured costs, as Costs.to_json says them, and its card."""

    costs: dict[str, Any]
    card: ModelCard


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The model answers."""

    pid: int
    variant: str
    max_rows: int
    known: Known
    samples: Sequence[Any] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A window: values of the input column of the model that is called so, and of no other."""

    tag: str
    values: list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A window's answers; `known` where it was not said for a while."""

    answered: Answered
    known: Known | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Let go of the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """There is no model here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHere:
    """The process has not the model that was asked: it was started anew, or has another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What was asked raised.

    Attributes:
        is_model_error: it is one of models/errors.py: the model cannot be served.
        step: of the model in which it did; empty where that is not known.
    """

    kind: str
    message: str
    is_model_error: bool
    step: str = ""


Question = Load | Ask | Leave
Said = Hello | Loaded | Reply | Left | NotHere | Raised
