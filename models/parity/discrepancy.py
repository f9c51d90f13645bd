"""Discrepancy: the first thing in which two ways to the same answer differ, and in which row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["encoding", "arithmetic", "batch-mates", "decoding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """What differs between a reference and a variant.

    Attributes:
        stage: where on a row's way it was found.
        cause: what it is, in a word or two: `maximal length`, `lower-casing`, `tokenizer`, `image size`, ...
        row: one in which it shows; None where no row is needed to see it.
        what: both values, in a clause.
    """

    stage: Stage
    cause: str
    row: int | None
    what: str
