"""Lines of JSON in, lines of JSON out: rows are answered while others are still being sent.

Each line is a row, as in `rows` of a JSON body; its answer is a line, in the same order. A bad line has an error line
in its place. Some WINDOW_ROWS rows, or WINDOW_BYTES, are in hand: from a sender who does not read his answers nothing
more is read, and one who reads none for long has gone. Blank lines are no rows, and have no answer. Nothing is sent
before the first rows are answered, so that what is wrong by then is told by the status.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from models.model import RowFault
from service.door.access import charge_rows, key_of, still_let_in
from service.door.bodies import Body
from service.door.errors import KeyMissing
from service.door.fetch.rows import fetch_named, may_name, uris_of
from service.errors import CallerGone, ServiceError
from service.lanes.lane import Lane
from service.predict import find_lane, read_priority, read_timeout_s, submit_values
from service.protocols.predict.incoming import END, WINDOW_ROWS, BadLine, Incoming
from service.protocols.predict.media import LINES
from service.protocols.predict.streams import Stream
from service.schemas import Answer, error_answer, read_rows
from service.serving import serving_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

#: In a window of rows that may name addresses: what these hold is known when it has been read.
FETCHED_ROWS = 8
Window = Sequence[Answer | dict[str, str]]


class LinesResponse(Response):
    """Sends answers as they are made. Starlette's own would read the request's body to see whether its sender left."""

    media_type = LINES

    def __init__(
        self,
        first: Window,
        others: AsyncIterator[Window],
        incoming: Incoming,
        *,
        leave: Callable[[], None],
        headers: dict[str, str],
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._first, self._others, self._incoming, self._leave = first, others, incoming, leave

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
        await self._send_window(self._first, send)
        async for window in self._others:
            await self._send_window(window, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_window(self, window: Window, send: Send) -> None:
        for answer in window:
            line = to_json(answer) + b"\n"
            async with asyncio.timeout(self._incoming.silent_s):  # for one who does not read
                await send({"type": "http.response.body", "body": line, "more_body": True})


async def predict_lines(request: Request, model: str) -> Response:
    """Answer a body of lines.

    Raises:
        ServiceError: before the first answer; afterwards what goes wrong is the last line, `{"error": "..."}`.
    """
    lane, serving = find_lane(request, model), serving_of(request)
    read_priority(request), read_timeout_s(request)  # what is wrong with them is told before there is an answer
    stream = Stream()
    serving.streams.enter(stream)
    limit = key_of(request).max_body_bytes or serving.settings.door.max_body_bytes
    incoming = Incoming(request, stream, silent_s=serving.settings.streams.silent_s, max_bytes=limit)
    stream.end = incoming.end

    leave = partial(serving.streams.leave, stream)
    windows = answer_lines(request, lane, incoming, stream)
    first = asyncio.ensure_future(anext(windows))
    leaving = asyncio.ensure_future(incoming.gone.wait())
    try:
        await asyncio.wait((first, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            raise CallerGone()
        headers = {"X-Tandem-Model": lane.tag, "X-Tandem-Digest": lane.digest, "X-Tandem-Variant": lane.variant}
        return LinesResponse(first.result(), windows, incoming, leave=leave, headers=headers)
    except BaseException:
        leave()
        incoming.close()
        raise
    finally:
        first.cancel()
        leaving.cancel()


async def answer_lines(request: Request, lane: Lane, incoming: Incoming, stream: Stream) -> AsyncIterator[Window]:
    """The answers, a window at a time: whatever has come by the time that the one before is answered.

    Raises:
        ServiceError: before the first window; afterwards it is the last line.
    """
    most = FETCHED_ROWS if may_name(request, lane.spec.inputs[0]) else WINDOW_ROWS
    is_first = more = True
    while more:
        rows = await incoming.take(most)
        more = rows[-1] is not END
        try:
            answered = await answer_window(request, lane, rows if more else rows[:-1])
            if incoming.ended is not None and not answered:
                raise incoming.ended
        except ServiceError as error:
            if is_first:
                raise
            yield [{"error": str(error)}]
            return
        stream.progress()
        yield answered
        is_first = False
    if incoming.ended is not None:
        yield [{"error": str(incoming.ended)}]


async def answer_window(request: Request, lane: Lane, rows: list[Any]) -> Window:
    """Answer some lines; the good ones go through the model together."""
    if not still_let_in(request):
        raise KeyMissing()
    charge_rows(request, len(rows))
    column, room = lane.spec.inputs[0], Share(request.scope["tandem.body"])
    bad = {place: row for place, row in enumerate(rows) if isinstance(row, BadLine)}
    good = [row for row in rows if not isinstance(row, BadLine)]
    try:
        if named := uris_of(request, column, good):
            good = list(await fetch_named(request, named, good, room))
        values, faults = read_rows(column, good)
        answered = iter(await submit_values(request, lane, values, faults))
    finally:
        room.close()
    return [
        error_answer(RowFault(kind="BadLine", message=bad[place].why)) if place in bad else next(answered)
        for place in range(len(rows))
    ]


class Share:
    """What is read for the rows of one window: it counts among all bodies until they are answered."""

    def __init__(self, body: Body) -> None:
        self._body, self._bytes = body, 0

    def hold(self, size: int) -> None:
        self._body.hold_among_all(size)
        self._bytes += size

    def let_go(self, size: int) -> None:
        self._body.let_go(size)
        self._bytes -= size

    def close(self) -> None:
        self.let_go(self._bytes)
