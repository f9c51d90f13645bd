"""Access: who asks, and what he may do. Handlers ask here; who it is was settled by the door's middleware."""

from __future__ import annotations

from starlette.requests import Request

from service.door.errors import TooManyRowsForKey
from service.door.key import Key
from service.door.scope import ACTIONS
from service.errors import UnknownModel
from service.operations import Action
from service.serving import serving_of


def key_of(request: Request) -> Key:
    """Who asks. A request that came past the door has none, and must not be answered: KeyError."""
    found = request.scope["tandem.key"]
    assert isinstance(found, Key)
    return found


def still_let_in(request: Request) -> bool:
    """Whether the caller's key still counts, and lets him do what it did: to be asked again by what stays open."""
    return bool(request.scope["tandem.still_let_in"]())


def require_model(request: Request, action: Action, tag: str, *, asked: str | None = None) -> None:
    """Refuse a caller whose key does not reach this model with this action.

    Args:
        request: whose model it is, for the logs, too.
        action: what is to be done with it.
        tag: `name:version`.
        asked: what the caller called it: the refusal must not tell him the version.

    Raises:
        UnknownModel: a model that the caller's key may not know of is one that is not there.
    """
    if not key_of(request).reaches(action, tag):
        raise unknown_model(request, asked or tag)
    request.scope["tandem.model"] = tag


def unknown_model(request: Request, asked: str) -> UnknownModel:
    """The error for a name that is no model's, or that of a model the caller may not know of: the same for both."""
    key, tags = key_of(request), serving_of(request).models.tags
    return UnknownModel(asked, known=[tag for tag in tags if any(key.reaches(action, tag) for action in ACTIONS)])


def may_see(request: Request, action: Action, tag: str) -> bool:
    """Whether the caller's key reaches the model with this action: lists leave out the others."""
    return key_of(request).reaches(action, tag)


def charge_rows(request: Request, rows: int) -> None:
    """Count the rows that a request brings, against what its key may send at once and for the audit line.

    Raises:
        TooManyRowsForKey: together with those before, more than the key may send in one request.
    """
    key, total = key_of(request), request.scope.get("tandem.rows", 0) + rows
    if key.max_rows is not None and total > key.max_rows:
        raise TooManyRowsForKey(key.name, rows=total, limit=key.max_rows)
    request.scope["tandem.rows"] = total
