"""What the operator may say of the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, whole_number

MAX_BODY_MB = Setting[int](
    variable="TANDEM_MAX_BODY_MB", flag="--max-body-mb", read=whole_number(1, 1024), default=16, metavar="MIB",
    help="Largest body of one request.",
)  # fmt: skip
DOOR = (MAX_BODY_MB,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """Who may come in, and with how much.

    Attributes:
        max_body_bytes: of one request.
    """

    max_body_bytes: int = MAX_BODY_MB.default * 1024 * 1024

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> DoorSettings:
        return cls(max_body_bytes=MAX_BODY_MB.of(environ) * 1024 * 1024)
