"""Scope: what a key may do, with which models: `predict`, `jobs:bbc-bert`, `admin:bbc-*`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import get_args

from service.operations import Action

ACTIONS: tuple[Action, ...] = get_args(Action)
GRAMMAR = (
    "ACTION or ACTION:MODEL, where ACTION is predict, jobs or admin, and MODEL a name or name:version in which * and ? "
    "stand for letters, such as predict, jobs:bbc-bert or admin:bbc-*:1"
)
GLOB = re.compile(r"[A-Za-z0-9._*?-]+(:[A-Za-z0-9._*?-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One action, with the models of one pattern; `*` is all of them."""

    action: Action
    models: str = "*"

    def reaches(self, tag: str) -> bool:
        """Whether `name:version` is one of its models. A pattern without a version means every version."""
        return fnmatchcase(tag if ":" in self.models else tag.partition(":")[0], self.models)

    def __str__(self) -> str:
        return self.action if self.models == "*" else f"{self.action}:{self.models}"


def read_scope(text: str) -> Scope:
    """A scope from its text.

    Raises:
        ValueError: it is none; says the grammar.
    """
    action, colon, models = text.partition(":")
    for known in ACTIONS:
        if action == known and (not colon or GLOB.fullmatch(models)):
            return Scope(action=known, models=models or "*")
    raise ValueError(f"{text!r} is no scope; expected {GRAMMAR}")
