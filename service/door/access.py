"""Access: who asks, and what he may do. Handlers ask here; who it is was settled by the door's middleware."""

from __future__ import annotations

from starlette.requests import Request

from service.operations import Action


def require_model(request: Request, action: Action, tag: str) -> None:
    """Refuse a caller whose key does not reach this model (`name:version`) with this action.

    Raises:
        UnknownModel: a model that the caller's key may not know of is one that is not there.
    """


def may_see(request: Request, action: Action, tag: str) -> bool:
    """Whether the caller's key reaches the model with this action: lists leave out the others."""
    return True
