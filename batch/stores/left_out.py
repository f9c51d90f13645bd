"""Left out: what lies below an input, is named like Parquet, and is no input all the same; never without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.amounts import counted

#: What lies in every output of a job, and nowhere else.
OWNER = "/_tandem/job.json"
#: How a part is named: its job's fingerprint, its shard, and in a table how often a retry has put it anew.
PART = re.compile(r"part-([0-9a-f]{8})-[0-9a-f]{20}(?:-r[0-9]+)?\.parquet")

HIDDEN = "names that begin with '_' or '.' are hidden"
PARTS = "parts of another job, whose output lies below the input"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """So many files for one reason.

    Attributes:
        why: in words.
        files: how many.
        first: the url of one of them.
    """

    why: str
    files: int
    first: str

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')} ({self.why}), such as {self.first}"


def find_parts(keys: Sequence[str]) -> Iterator[str]:
    """Of a listing's keys, the parts in outputs that lie below its root: there another job's answers, and no rows.

    At the root itself they are what was asked for.
    """
    outputs = {key.removesuffix(OWNER) for key in keys if key.endswith(OWNER)}
    if outputs:
        yield from (key for key in keys if is_part_name(key) and outputs & {*folders_of(key)})


def is_part_name(key: str) -> bool:
    """Whether a key is named as parts are, whoever's and in whatever folder."""
    return PART.fullmatch(key.rpartition("/")[2]) is not None


def folders_of(key: str) -> Iterator[str]:
    """The folders that a key lies in, from the innermost."""
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key
