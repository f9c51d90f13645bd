"""What the operator may say of the server's processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, whole_number

STOP_TIMEOUT_S = Setting[int](
    variable="TANDEM_STOP_TIMEOUT_S", flag="--stop-timeout", read=whole_number(1, 3600), default=30, metavar="SECONDS",
    help="Told to end, the server answers what it has begun for at most so long; then every process of it is killed.",
)  # fmt: skip
SUPERVISE = (STOP_TIMEOUT_S,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperviseSettings:
    """How the server's processes end.

    Attributes:
        stop_timeout_s: from SIGTERM to the end of the last process.
    """

    stop_timeout_s: int = STOP_TIMEOUT_S.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> SuperviseSettings:
        return cls(stop_timeout_s=STOP_TIMEOUT_S.of(environ))
