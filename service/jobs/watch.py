"""Watch: a job as server-sent events, one for each change of it, until it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from service.jobs.record import JobRecord

#: Between two looks into the book. It is the only way that also shows what another server runs.
LOOK_S = 0.5
#: So that nobody in between takes the connection for dead.
HEARTBEAT_S = 15.0
RETRY_MS = 2000


async def watch_job(
    first: JobRecord, find: Callable[[str], Awaitable[JobRecord | None]], *, is_over: Callable[[], bool]
) -> AsyncIterator[str]:
    """The events, as they go over the wire: each has the whole job for its data and the job's revision for its id.

    It ends after the one that says that the job has ended, when the job is forgotten, and when `is_over` says so: the
    server stops, or the key of who watches counts no more.
    """
    found: JobRecord | None = first
    seen, quiet_s, opening = -1, 0.0, f"retry: {RETRY_MS}\n"
    while found is not None:
        if found.revision != seen:
            seen, quiet_s = found.revision, 0.0
            yield f"{opening}id: {seen}\ndata: {json.dumps(found.to_json())}\n\n"
            opening = ""
        if found.has_ended or is_over():
            return
        await asyncio.sleep(LOOK_S)
        quiet_s += LOOK_S
        if quiet_s >= HEARTBEAT_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        found = await find(first.id)
