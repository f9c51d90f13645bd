"""What the operator may say of streams of lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, whole_number

MAX_STREAMS = Setting[int](
    variable="TANDEM_MAX_STREAMS", flag="--max-streams", read=whole_number(1, 10_000), default=64, metavar="N",
    help="Open streams of JSON lines; where there are so many, the one that dawdled longest gives way to a new one.",
)  # fmt: skip
STREAM_SILENT_S = Setting[int](
    variable="TANDEM_STREAM_SILENT_S", flag="--stream-silent", read=whole_number(1, 86_400), default=60,
    metavar="SECONDS", help="A stream of JSON lines whose sender is silent for so long is ended.",
)  # fmt: skip
STREAMS = (MAX_STREAMS, STREAM_SILENT_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How streams of lines are bounded.

    Attributes:
        max_streams: that are open.
        silent_s: after which one that brings nothing is ended.
    """

    max_streams: int = MAX_STREAMS.default
    silent_s: int = STREAM_SILENT_S.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> StreamSettings:
        return cls(max_streams=MAX_STREAMS.of(environ), silent_s=STREAM_SILENT_S.of(environ))
