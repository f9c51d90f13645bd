"""What BentoML is told when the server may not start, or cannot."""

from __future__ import annotations

from bentoml.exceptions import BentoMLException


class CannotServe(BentoMLException):  # which `bentoml serve` says in one line, too
    """The server does not start; `exit_code` is 2 for what was asked of it, 3 for its models."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
