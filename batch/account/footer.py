"""Footer: the shape of the account that a part's footer holds of it; anybody may have written it, so it is checked."""

from __future__ import annotations

from functools import cache
from typing import Annotated, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from batch.account.manifest import Edge, Example, Moment, Rows, Scores, Seconds

#: A later version may say more.
OPEN = with_config(ConfigDict(extra="allow"))


@OPEN
class PartWork(TypedDict):
    """When a part was made, and what it took."""

    began: Moment
    ended: Moment
    spent_s: dict[str, Seconds]
    micro_batches: Rows
    pieces: Rows
    padded: Rows
    real: Rows
    repeated: Rows


@OPEN
class Account(TypedDict):
    """What a part says of itself; what is not required, older versions did not write."""

    rows: Rows
    errors: dict[str, Rows]
    truncated: Rows
    confusion: Annotated[list[tuple[str, str, Rows]], Field(description="True label, predicted label, rows.")]
    labels: NotRequired[dict[str, Rows]]
    scores: NotRequired[Scores]
    lengths: NotRequired[dict[Edge, Rows]]
    examples: NotRequired[list[Example]]
    work: NotRequired[PartWork]
    attempt: NotRequired[str]
    retries: NotRequired[Rows]


@cache
def _adapter() -> TypeAdapter[Account]:
    return TypeAdapter(Account)


def check_account(body: bytes) -> Account:
    """Read an account.

    Raises:
        ValueError: it is none.
    """
    return _adapter().validate_json(body)
