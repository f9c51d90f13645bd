"""Serving: what one server process holds, for whoever answers a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.lanes.repository import Lanes, open_lanes
from service.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request


class Serving:
    """What one server process holds. Made in the worker's start, closed with it.

    Attributes:
        settings: what the operator said.
        models: the lanes, by the names of their models.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.models: Lanes = open_lanes(settings)

    async def start(self) -> None:
        """Begin what needs the event loop; before the first request."""

    async def stop(self) -> None:
        """End what `start` began; after the last request."""

    def close(self) -> None:
        self.models.close()

    @property
    def ready(self) -> bool:
        """Whether /readyz says yes."""
        return self.models.ready


def serving_of(request: Request) -> Serving:
    """The server that a request came to."""
    found = request.app.state.serving
    assert isinstance(found, Serving)
    return found
