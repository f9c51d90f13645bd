"""Pipe safe: what a command says where nobody reads it any more."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TextIO


class PipeSafe:
    """Standard output, also where its reader has gone: `tandem run ... | head -1` ends as the job does.

    click would end the command with 1 instead, at whatever it was about to say.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._ignoring_a_closed_pipe():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._ignoring_a_closed_pipe():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _ignoring_a_closed_pipe(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # what is buffered goes nowhere, now and when Python ends
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
