"""Lines of JSON in, lines of JSON out: rows are answered while others are still being sent.

Each line is a row, as in `rows` of a JSON body; its answer is a line, in the same order. A bad line has an error line
in its place. Some WINDOW_ROWS rows, or WINDOW_BYTES, are in hand: from a sender who does not read his answers nothing
more is read, and one who reads none for long has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from models.model import RowFault
from service.door.access import charge_rows, key_of, still_let_in
from service.door.errors import KeyMissing
from service.errors import ServiceError
from service.json_bodies import read_json
from service.lanes.lane import Lane
from service.predict import find_lane, read_priority, read_timeout_s, submit_values
from service.protocols.predict.errors import LineTooLong, StreamEnded
from service.protocols.predict.media import LINES
from service.protocols.predict.streams import Stream
from service.schemas import Answer, error_answer, read_rows
from service.serving import serving_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

WINDOW_ROWS, WINDOW_BYTES = 64, 1 << 20
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
        self._max_bytes = max_bytes
        self._reading = asyncio.create_task(self._read())

    def end(self, why: str) -> None:
        """Read no more, and say why behind what was answered."""
        self.ended = self.ended or StreamEnded(why)
        self._reading.cancel()

    def close(self) -> None:
        self._reading.cancel()

    async def take(self) -> list[Any]:
        """What has come, up to a window, once there is anything."""
        found = [await self.lines.get()]
        while len(found) < WINDOW_ROWS and not self.lines.empty():
            found.append(self.lines.get_nowait())
        for _, size in found:
            self._room.release()
            self._held_bytes -= size
        self._taken.set()
        return [row for row, _ in found]

    async def _read(self) -> None:
        try:
            async for line in self._whole_lines():
                await self._room.acquire()
                while self._held_bytes and self._held_bytes + len(line) > WINDOW_BYTES:
                    self._taken.clear()
                    await self._taken.wait()
                self._held_bytes += len(line)
                self.lines.put_nowait((read_line(line), len(line)))
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

    async def _whole_lines(self) -> AsyncIterator[bytes]:
        """The lines that hold anything, without their ends and the file's mark."""
        rest, is_first = bytearray(), True
        async for piece in self._pieces():
            begun, *others = piece.split(b"\n")
            rest += begun
            if len(rest) > self._max_bytes:
                raise LineTooLong(self._max_bytes)
            for other in others:
                line, rest = bytes(rest), bytearray(other)
                line, is_first = line.removeprefix(BOM) if is_first else line, False
                if line.strip():
                    yield line
        line = bytes(rest).removeprefix(BOM) if is_first else bytes(rest)
        if line.strip():
            yield line

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. The door is told what is no longer held: a stream may be longer than a body."""
        body, pieces = self._request.scope.get("tandem.body"), aiter(self._request.stream())
        while True:
            try:
                async with asyncio.timeout(self.silent_s):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise StreamEnded(f"nothing came for {self.silent_s:g} s (TANDEM_STREAM_SILENT_S).") from None
            if body is not None:
                body.let_go(len(piece))
            yield piece


class LinesResponse(Response):
    """Sends answers as they are made. Starlette's own would read the request's body to see whether its sender left."""

    media_type = LINES

    def __init__(
        self, answers: AsyncIterator[Any], incoming: Incoming, *, leave: Callable[[], None], headers: dict[str, str]
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._answers, self._incoming, self._leave = answers, incoming, leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(self._incoming.gone.wait())
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with contextlib.suppress(TimeoutError):
                    sending.result()
        finally:
            self._leave()  # here: answers that nobody asks for any more do not end by themselves
            for task in (sending, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):  # a TimeoutError is one, too
                    await task
            self._incoming.close()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for answer in self._answers:
            line = to_json(answer) + b"\n"
            async with asyncio.timeout(self._incoming.silent_s):  # for one who does not read
                await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def predict_lines(request: Request, model: str) -> Response:
    """Answer a body of lines.

    Raises:
        ServiceError: before the first answer; afterwards what goes wrong is the last line, `{"error": "..."}`.
    """
    lane, serving = find_lane(request, model), serving_of(request)
    read_priority(request), read_timeout_s(request)  # what is wrong with them is told before there is an answer
    if (body := request.scope.get("tandem.body")) is not None:
        body.may_dawdle()
    stream = Stream()
    serving.streams.enter(stream)
    limit = key_of(request).max_body_bytes or serving.settings.door.max_body_bytes
    incoming = Incoming(request, stream, silent_s=serving.settings.streams.silent_s, max_bytes=limit)
    stream.end = incoming.end

    answers = answer_lines(request, lane, incoming, stream)
    headers = {"X-Tandem-Model": lane.tag, "X-Tandem-Digest": lane.digest, "X-Tandem-Variant": lane.variant}
    return LinesResponse(answers, incoming, leave=partial(serving.streams.leave, stream), headers=headers)


async def answer_lines(
    request: Request, lane: Lane, incoming: Incoming, stream: Stream
) -> AsyncIterator[Answer | dict[str, str]]:
    """The answers, a window at a time: whatever has come by the time that the one before is answered."""
    more = True
    while more:
        rows = await incoming.take()
        more = rows[-1] is not END
        try:
            answered = await answer_window(request, lane, rows if more else rows[:-1])
        except ServiceError as error:
            yield {"error": str(error)}
            return
        stream.progress()
        for answer in answered:
            yield answer
    if incoming.ended is not None:
        yield {"error": str(incoming.ended)}


async def answer_window(request: Request, lane: Lane, rows: list[Any]) -> list[Answer]:
    """Answer some lines; the good ones go through the model together."""
    if not still_let_in(request):
        raise KeyMissing()
    charge_rows(request, len(rows))
    bad = {place: row for place, row in enumerate(rows) if isinstance(row, BadLine)}
    values, faults = read_rows(lane.spec.inputs[0], [row for row in rows if not isinstance(row, BadLine)])
    answered = iter(await submit_values(request, lane, values, faults))
    return [
        error_answer(RowFault(kind="BadLine", message=bad[place].why)) if place in bad else next(answered)
        for place in range(len(rows))
    ]


def read_line(line: bytes) -> Any:
    """A line as a row, or why it is none."""
    try:
        return read_json(line)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return BadLine(f"expected one JSON value a line: {why[:200]}")
