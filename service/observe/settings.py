"""What the operator may say of what the server says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, number

ACCESS_LOG = Setting[str](
    variable="TANDEM_ACCESS_LOG", flag="--access-log", read=str, default="off", metavar="FILE|-|off",
    help="A JSON line a request: into a file, to stderr (-), or none.",
)  # fmt: skip
ACCESS_LOG_SAMPLE = Setting[float](
    variable="TANDEM_ACCESS_LOG_SAMPLE", flag="--access-log-sample", read=number(0, 1), default=1.0, metavar="SHARE",
    help="The share of requests that are logged; those answered with 500 and above always are.",
)  # fmt: skip
OBSERVE = (ACCESS_LOG, ACCESS_LOG_SAMPLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveSettings:
    """What the server says of itself.

    Attributes:
        access_log: a file's path, `-` for stderr, or None.
        access_log_sample: the share of requests that have a line.
    """

    access_log: str | None = None
    access_log_sample: float = ACCESS_LOG_SAMPLE.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ObserveSettings:
        place = ACCESS_LOG.of(environ)
        return cls(access_log=None if place == "off" else place, access_log_sample=ACCESS_LOG_SAMPLE.of(environ))
