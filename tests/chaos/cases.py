"""What is done to a job, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

Blow = Literal[
    "kill the command",
    "kill a worker",
    "kill both",
    "terminate",
    "pause a worker",
    "pause the command",
    "pause all",
]
Kind = Literal[Blow, "two at once", "three at once", "a faulty store"]
KINDS: tuple[Kind, ...] = (*get_args(Blow), "two at once", "three at once", "a faulty store")
BLOWS: tuple[Blow, ...] = get_args(Blow)

#: Of a faulty store's requests, so many go wrong.
FAULT_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Runs of the job started at once, one of which meets a blow.

    Attributes:
        runs: how many.
        workers: worker processes of each.
        blow: what happens to one of them.
        at: when: after so large a share of the requests that an uninterrupted run makes, 0 to 1.
        delay_s: and so much later, for requests are not all that a run does.
        choice: which run, and which of its processes.
    """

    runs: int
    workers: int
    blow: Blow
    at: float
    delay_s: float
    choice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One to three rounds, and how many of the store's answers go wrong meanwhile."""

    seed: int
    kind: Kind
    rounds: tuple[Round, ...]
    fault_rate: float


def draw_case(seed: int) -> Case:
    """The same seed is the same case. Ten seeds in a row have every kind."""
    source = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    many = {"two at once": 2, "three at once": 3}.get(kind, 1)

    def draw_round(blow: Blow, runs: int) -> Round:
        workers = 2 if source.random() < (0.7 if blow in ("kill a worker", "pause a worker") else 0.25) else 1
        at, delay_s = source.random(), source.choice((0.0, 0.01, 0.1)) * source.random()
        return Round(runs=runs, workers=workers, blow=blow, at=at, delay_s=delay_s, choice=source.random())

    first = kind if kind in BLOWS else source.choice(BLOWS)
    more = source.choice((0, 0, 0, 1, 1, 2))
    rounds = (draw_round(first, many), *(draw_round(source.choice(BLOWS[:4]), 1) for _ in range(more)))
    return Case(seed=seed, kind=kind, rounds=rounds, fault_rate=FAULT_RATE if kind == "a faulty store" else 0.0)
