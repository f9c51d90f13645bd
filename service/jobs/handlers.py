"""What is answered under /jobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from service.disconnect import while_connected
from service.door.access import still_let_in
from service.errors import RequestInvalid
from service.jobs.ask_tandem import plan_job, write_report
from service.jobs.caller import allowed_places, is_admin, owner_of, sees_job
from service.jobs.check_spec import check_spec
from service.jobs.errors import JobConflict, JobForbidden, JobRefused, JobsBusy, NoReportYet, UnknownJob
from service.jobs.find_model import find_model
from service.jobs.jobs import MOST_WATCHERS, Jobs
from service.jobs.places import settle_places
from service.jobs.process import REPORT
from service.jobs.record import JobRecord, new_id
from service.jobs.watch import watch_job
from service.refusals import wrong_shape
from service.serving import serving_of

#: A job is a page of settings; its file is read as YAML of at most 1 MiB.
MOST_BODY_BYTES = 256 * 1024
MOST_KEY = 200
MOST_LISTED, LISTED = 1000, 100
#: The report of a job that runs is made anew after so long.
FRESH_S = 10.0
#: The page of a report loads nothing and runs no script; its style is its own.
REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def submit(request: Request) -> Response:
    """Take a job in: it is on disk when the caller hears of it, and looked over by `tandem plan` before."""
    jobs = serving_of(request).jobs
    spec, asked = await read_spec(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MOST_KEY and all("!" <= one <= "~" for one in key)):
        raise RequestInvalid(f"Idempotency-Key: expected 1 to {MOST_KEY} letters, digits or signs, and no blank.")
    if not jobs.settings.at_once:
        raise JobForbidden("This server takes no jobs (--jobs-at-once 0).")
    spec = check_spec(spec)
    model, name = await find_model(request, spec["model"])
    owner = owner_of(request)
    if (same := await jobs.ask(jobs.book.find_same, owner, key, asked)) is not None:
        return answer_job(same, status=200)
    spec = await asyncio.to_thread(settle_places, spec | {"model": name}, allowed_places(request))
    await jobs.ask(jobs.book.check_room, jobs.settings.queue)
    async with jobs.planning.turn():
        planned = await while_connected(request, plan_job(jobs.settings.folder, spec))
    record = JobRecord(
        id=new_id(time.time()),
        owner=owner,
        key=key,
        asked=asked,
        spec=spec,
        model=model,
        status="queued",
        submitted=time.time(),
        **first_progress(planned),
    )
    kept, is_new = await jobs.ask(jobs.book.add, record, most_waiting=jobs.settings.queue)
    if is_new:
        jobs.events.job("submitted")
        jobs.keeper.wake()
    return answer_job(kept, status=201 if is_new else 200)


async def list_jobs(request: Request) -> Response:
    """The newest first, as far as the caller may know of them."""
    text = request.query_params.get("limit", str(LISTED))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= MOST_LISTED):
        raise RequestInvalid(f"limit: expected a whole number from 1 to {MOST_LISTED}, found {text[:80]!r}.")
    jobs = serving_of(request).jobs
    owner = None if is_admin(request) else owner_of(request)
    found = await jobs.ask(
        jobs.book.newest, owner=owner, limit=int(text), may_see=lambda record: sees_job(request, record)
    )
    return JSONResponse({"jobs": [record.to_json() for record in found]})


async def show(request: Request) -> Response:
    return JSONResponse((await find_job(request)).to_json())


async def cancel(request: Request) -> Response:
    """End a job: one that waits at once, one that runs as soon as the shard in hand is done, or after 20 s."""
    jobs = serving_of(request).jobs
    for _ in range(3):  # it may begin, end or wait again at this very moment
        found = await find_job(request)
        if found.status == "cancelled" or found.cancel_asked is not None:
            return answer_job(found, status=200)
        if found.has_ended:
            raise JobConflict(f"job {found.id} has ended: {found.status}.")
        changes: dict[str, Any] = {"cancel_asked": time.time(), "message": "is asked to end"}
        if found.status == "queued":
            changes |= {"status": "cancelled", "ended": time.time(), "message": "cancelled before it was run"}
        changed = await jobs.ask(jobs.book.change, found.id, only_if=found.status, **changes)
        if changed is not None:
            if changed.has_ended:
                jobs.events.job("cancelled")
            jobs.keeper.wake()
            return answer_job(changed, status=200)
    raise JobsBusy(f"job {found.id} is changing just now.", retry_after_s=1)


async def events(request: Request) -> Response:
    """The job, and again whenever it changes, until it has ended."""
    jobs = serving_of(request).jobs
    found = await find_job(request)
    if found.has_ended and request.headers.get("last-event-id") == str(found.revision):
        return Response(status_code=204)  # which tells an EventSource that comes again to come no more
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(media_type="text/event-stream", headers=headers)
    if jobs.watchers >= MOST_WATCHERS:
        raise JobsBusy(f"{MOST_WATCHERS} connections watch jobs already.", retry_after_s=10)
    return StreamingResponse(watched(request, jobs, found), media_type="text/event-stream", headers=headers)


async def watched(request: Request, jobs: Jobs, found: JobRecord) -> AsyncIterator[str]:
    """Watch a job as one of so many, for as long as the caller may."""
    jobs.watchers += 1

    def is_over() -> bool:
        return jobs.is_stopping or not still_let_in(request)

    try:
        async for event in watch_job(found, lambda job: jobs.ask(jobs.book.find, job), is_over=is_over):
            yield event
    finally:
        jobs.watchers -= 1


async def report(request: Request) -> Response:
    """What the job did, as a page; made when it is first asked for, and kept once the job has ended."""
    jobs = serving_of(request).jobs
    await request.body()  # behind it comes only that the caller has gone
    found = await find_job(request)
    if found.progress is None:
        raise NoReportYet(found.id, f"it is {found.status}, and nothing of it is planned")
    folder = jobs.keeper.folder_of(found.id)
    async with jobs.reporting.turn():
        if not await asyncio.to_thread(is_fresh, folder / REPORT, found):
            writing = write_report(folder, found.spec, jobs_folder=jobs.settings.folder)
            try:
                await while_connected(request, writing)
            except JobRefused as refused:
                raise NoReportYet(found.id, str(refused)) from None
    return FileResponse(folder / REPORT, media_type="text/html", headers=REPORT_HEADERS)


def is_fresh(path: Any, record: JobRecord) -> bool:
    """Whether a report is there that says all that there is to say."""
    try:
        made: float = path.stat().st_mtime
    except OSError:
        return False
    return made > (record.ended if record.ended is not None else time.time() - FRESH_S)


async def read_spec(request: Request) -> tuple[Any, str]:
    """The body as strict JSON, and its digest.

    Raises:
        RequestInvalid: it is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # what a page from elsewhere can send unasked is of other kinds
        raise RequestInvalid(f"Content-Type: expected application/json, found {kind[:80] or 'none'}.")
    body = await request.body()
    if len(body) > MOST_BODY_BYTES:
        raise RequestInvalid(f"body: expected a job of at most {MOST_BODY_BYTES // 1024} KiB, found {len(body)} bytes.")
    try:
        spec = json.loads(body, parse_constant=refuse_constant)
        return spec, hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        raise RequestInvalid("body: nested too deeply.") from None
    except ValueError as error:
        raise wrong_shape(error) from None


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def first_progress(planned: dict[str, Any] | None) -> dict[str, Any]:
    """What `tandem plan` knows of a job's progress before it runs."""
    if planned is None:
        return {}
    done = planned["input_rows"] - planned["input_rows_to_do"]
    return {
        "shards_before": planned["shards_committed"],
        "progress": {
            "shards": planned["shards"],
            "shards_done": planned["shards_committed"],
            "rows": planned["input_rows"],
            "rows_done": done,
            "error_rows": 0,
            "rows_per_s": None,
            "left_s": None,
        },
    }


async def find_job(request: Request) -> JobRecord:
    """The job of the path.

    Raises:
        UnknownJob: there is none, or none that this caller may know of.
    """
    jobs, job = serving_of(request).jobs, request.path_params["id"]
    found: JobRecord | None = await jobs.ask(jobs.book.find, job)
    if found is None or not sees_job(request, found):
        raise UnknownJob(job)
    return found


def answer_job(record: JobRecord, *, status: int) -> Response:
    return JSONResponse(record.to_json(), status_code=status, headers={"Location": f"/jobs/{record.id}"})
