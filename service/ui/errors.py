"""What can go wrong with the page."""

from __future__ import annotations

from service.errors import ServiceError


class NoSuchFile(ServiceError):
    """A file that the page does not have."""

    status = 404

    def __init__(self) -> None:
        super().__init__("The page has no file of that name; it is at /ui.")
