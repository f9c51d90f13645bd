"""Serving: what one server process holds, for whoever answers a request."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from models.load import Described
from service.door.fetch.fetcher import Fetcher
from service.hear_the_end import hear_the_end
from service.isolated.open_workers import open_remote_workers
from service.jobs.jobs import Jobs
from service.lanes.lane import Lane
from service.lanes.lifecycle import Lifecycle
from service.lanes.repository import Lanes, open_lane, open_lanes, open_local_worker
from service.lanes.room import check_room
from service.observe.access_log import AccessLog
from service.observe.event_metrics import EventMetrics
from service.observe.http_metrics import HttpMetrics
from service.observe.spans import open_tracing
from service.protocols.predict.streams import Streams
from service.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

#: Tables that are unpacked at a time: what they take is known afterwards.
UNPACK_AT_ONCE = 2


class Serving:
    """What one server process holds. Made in the worker's start, closed with it.

    Attributes:
        settings: what the operator said.
        models: the lanes, by the names of their models.
        lifecycle: changes which models these are.
        http, events: what is counted of requests, and of jobs and model loads.
        access_log: a line a request; None where none is asked for.
        tracing: a span a request; None where none is asked for.
        open_worker: loads a model, into this process or into one of its own.
        fetcher: reads the images that rows name by an address.
        streams: of JSON lines that are open.
        unpacking: whoever holds it may unpack a table.
        jobs: that callers submitted.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.http, self.events = HttpMetrics(), EventMetrics()
        self.access_log = self.open_access_log()
        self.tracing = open_tracing(os.environ)
        self.open_worker = open_remote_workers(os.environ) if settings.isolated.on else open_local_worker
        self.models: Lanes = open_lanes(settings, self.open_worker)
        check = partial(check_room, keep_free_bytes=settings.lanes.keep_free_bytes)
        self.lifecycle = Lifecycle(self.models, settings, open_lane=self.open_counted, check_room=check)
        self.fetcher = Fetcher(settings.door.allow_urls, limit_bytes=settings.door.max_body_bytes)
        self.streams = Streams(settings.streams.max_streams)
        self.unpacking = asyncio.Semaphore(UNPACK_AT_ONCE)
        self.jobs = Jobs(settings.jobs, self.events)

    async def start(self) -> None:
        """Begin what needs the event loop; before the first request."""
        hear_the_end(self._end_open_ones)
        await self.jobs.start()

    async def stop(self) -> None:
        """End what `start` began; after the last request."""
        await self.jobs.stop()
        await self.lifecycle.stop()

    def _end_open_ones(self) -> None:
        """Let those go who would stay: the server ends."""
        self.jobs.end_watching()
        self.streams.end_all()

    def close(self) -> None:
        self.fetcher.close()
        self.models.close()
        if self.access_log is not None:
            self.access_log.close()
        if self.tracing is not None:
            self.tracing.close()

    def open_access_log(self) -> AccessLog | None:
        place, sample = self.settings.observe.access_log, self.settings.observe.access_log_sample
        return AccessLog(place, sample=sample, lost=self.http.lost_lines) if place else None

    def open_counted(self, described: Described, settings: Settings) -> Lane:
        """Open a lane while the server runs, and count how that ended."""
        begun = time.monotonic()
        try:
            lane = open_lane(described, settings, open_worker=self.open_worker)
        except BaseException:
            self.events.model_failed(time.monotonic() - begun)
            raise
        self.events.model_loaded(time.monotonic() - begun)
        return lane

    @property
    def ready(self) -> bool:
        """Whether /readyz says yes."""
        return self.models.ready


def serving_of(request: Request) -> Serving:
    """The server that a request came to."""
    found = request.app.state.serving
    assert isinstance(found, Serving)
    return found
