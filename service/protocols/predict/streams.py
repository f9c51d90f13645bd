"""Streams: how many streams of lines may be open, and which one goes where another wants in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.protocols.predict.errors import StreamEnded, StreamsFull, StreamStopped

#: A stream that has brought no whole line for so long may be ended where the room is full.
SLOW_S = 5.0


@dataclass(slots=True, eq=False)
class Stream:
    """One open stream.

    Attributes:
        end: ends it, with what its sender is told.
        progressed: when its sender last brought a whole line, or the server last owed him an answer.
    """

    end: Callable[[StreamEnded], None] = lambda why: None
    progressed: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        self.progressed = time.monotonic()


class Streams:
    """The open streams of one server. Slow senders keep nobody out: the slowest gives way to whoever comes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: list[Stream] = []

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, stream: Stream) -> None:
        """Let a stream in.

        Raises:
            StreamsFull: there are as many as there may be, and every one of them brings lines.
        """
        if len(self._open) >= self.limit:
            slowest = min(self._open, key=lambda one: one.progressed)
            if time.monotonic() - slowest.progressed < SLOW_S:
                raise StreamsFull(self.limit)
            self.leave(slowest)
            slowest.end(StreamEnded("others wait for its place, and it brought no line for the longest time."))
        self._open.append(stream)

    def end_all(self) -> None:
        """End every stream, as the server ends; what its sender sent so far is answered."""
        for stream in list(self._open):
            stream.end(StreamStopped())

    def leave(self, stream: Stream) -> None:
        if stream in self._open:
            self._open.remove(stream)
