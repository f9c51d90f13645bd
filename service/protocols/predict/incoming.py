"""Incoming: the lines of one body while they come. Of one whose answers are not read, no more is read.

Blank lines are no rows. What has come counts among the bodies until it is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from service.door.bodies import Body
from service.errors import ServiceError
from service.json_bodies import read_json
from service.protocols.predict.errors import LineTooLong, StreamEnded
from service.protocols.predict.streams import Stream

#: In hand of one stream at most.
WINDOW_ROWS, WINDOW_BYTES = 64, 1 << 20
#: Split at a time: other requests go on behind each, for a compressed body comes in pieces of megabytes.
SLICE_BYTES = 16 << 10
BOM = b"\xef\xbb\xbf"
#: What stands in the queue behind the last line.
END = object()


class BadLine:
    """Stands for a line that is no row."""

    def __init__(self, why: str) -> None:
        self.why = why


class Incoming:
    """The lines of one body as they come, read in a task of their own.

    Attributes:
        lines: rows, BadLines, and at last END, each with its size.
        ended: why there are no more, where it is not the body's end.
        gone: its sender has closed the connection.
    """

    def __init__(self, request: Request, stream: Stream, *, silent_s: float, max_bytes: int) -> None:
        self.lines: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
        self.ended: ServiceError | None = None
        self.gone = asyncio.Event()
        self.silent_s = silent_s
        self._room, self._held_bytes, self._taken = asyncio.Semaphore(WINDOW_ROWS), 0, asyncio.Event()
        self._request, self._stream = request, stream
        self._body: Body = request.scope["tandem.body"]
        self._body.read_as_stream()
        self._max_bytes = max_bytes
        self._reading = asyncio.create_task(self._read())

    def end(self, why: StreamEnded) -> None:
        """Read no more, and say why behind what was answered."""
        self.ended = self.ended or why
        self._reading.cancel()

    def close(self) -> None:
        self._reading.cancel()

    async def take(self, most: int) -> list[Any]:
        """What has come, up to so many lines, once there is anything. It counts among the bodies no longer."""
        found = [await self.lines.get()]
        while len(found) < most and not self.lines.empty():
            found.append(self.lines.get_nowait())
        for _, size in found:
            self._room.release()
            self._held_bytes -= size
            self._body.let_go(size)
        self._taken.set()
        return [row for row, _ in found]

    async def _read(self) -> None:
        try:
            async for line, size in self._whole_lines():
                if not line.strip():
                    self._body.let_go(size)
                    continue
                await self._room.acquire()
                while self._held_bytes and self._held_bytes + size > WINDOW_BYTES:
                    self._taken.clear()
                    await self._taken.wait()
                self._held_bytes += size
                self.lines.put_nowait((read_line(line), size))
                self._stream.progress()
        except ServiceError as error:
            self.ended = error
        except ClientDisconnect:
            self.gone.set()
        finally:
            self.lines.put_nowait((END, 0))
        if not self.gone.is_set():
            await self._request.receive()  # behind the body comes only that the sender has left
            self.gone.set()

    async def _whole_lines(self) -> AsyncIterator[tuple[bytes, int]]:
        """The lines without their ends and the file's mark, each with the bytes that it took."""
        rest, is_first = bytearray(), True
        async for piece in self._pieces():
            begun, *others = piece.split(b"\n")
            rest += begun
            if len(rest) > self._max_bytes:
                raise LineTooLong(self._max_bytes)
            for other in others:
                line, rest = bytes(rest), bytearray(other)
                yield line.removeprefix(BOM) if is_first else line, len(line) + 1
                is_first = False
        yield bytes(rest).removeprefix(BOM) if is_first else bytes(rest), len(rest)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, a little at a time."""
        pieces = aiter(self._request.stream())
        while True:
            try:
                async with asyncio.timeout(self.silent_s):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise StreamEnded(f"nothing came for {self.silent_s:g} s (TANDEM_STREAM_SILENT_S).") from None
            for at in range(0, len(piece), SLICE_BYTES):
                yield piece[at : at + SLICE_BYTES]
                await asyncio.sleep(0)


def read_line(line: bytes) -> Any:
    """A line as a row, or why it is none."""
    try:
        return read_json(line)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return BadLine(f"expected one JSON value a line: {why[:200]}")
