"""The operations under /jobs, as routing, the door and the OpenAPI page know them."""

from __future__ import annotations

from service.jobs.check_spec import job_schema
from service.jobs.handlers import LISTED, MOST_KEY, MOST_LISTED, cancel, events, list_jobs, report, show, submit
from service.jobs.record import Job, JobList
from service.operations import Answered, Operation, Parameter
from service.schemas import ErrorResponse

REFUSED = {"application/json": ErrorResponse}
ONE = {"application/json": Job}
LOCATION = {"Location": "/jobs/{id}"}
AWAY = {
    503: Answered(description="Jobs cannot be read just now", content=REFUSED, headers={"Retry-After": "s"}),
}
UNKNOWN = {404: Answered(description="No such job, or not the caller's", content=REFUSED)}
ID = Parameter(
    name="id", place="path", description="as the job's `id`", schema={"type": "string", "minLength": 1}, required=True
)

#: One event, as OpenAPI describes streams of them.
EVENT = {
    "type": "object",
    "description": "One event; `data` is the job as JSON.",
    "properties": {
        "id": {"type": "string"},
        "event": {"const": "message"},
        "retry": {"type": "integer"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    },
    "required": ["id", "data"],
    "additionalProperties": False,
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/jobs",
        handle=submit,
        action="jobs",
        summary="Submit a job",
        tag="Jobs",
        parameters=(
            Parameter(
                name="Idempotency-Key",
                place="header",
                description="The same key gives the same job back, however often it is asked for",
                schema={"type": "string", "minLength": 1, "maxLength": MOST_KEY, "pattern": "^[!-~]+$"},
            ),
        ),
        body={"application/json": job_schema()},
        example={"model": "bbc-bert", "input": "s3://bucket/articles/", "output": "s3://bucket/predictions/"},
        answers={
            200: Answered(description="The job of this Idempotency-Key", content=ONE, headers=LOCATION),
            201: Answered(description="It is kept, and waits for its turn", content=ONE, headers=LOCATION),
            400: Answered(description="No job: the message names the setting", content=REFUSED),
            403: Answered(description="A place that jobs of this server may not name", content=REFUSED),
            404: Answered(description="A model that jobs of this caller may not run", content=REFUSED),
            409: Answered(description="The key, or the output, belongs to another job", content=REFUSED),
            422: Answered(description="A job that cannot be run, such as one without input", content=REFUSED),
            503: Answered(
                description="Too many wait, or none can be kept", content=REFUSED, headers={"Retry-After": "s"}
            ),
            507: Answered(description="No room is left where jobs are kept", content=REFUSED),
        },
    ),
    Operation(
        method="GET",
        path="/jobs",
        handle=list_jobs,
        action="jobs",
        summary="The jobs that the caller may see",
        tag="Jobs",
        parameters=(
            Parameter(
                name="limit",
                place="query",
                description="At most so many",
                schema={"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": LISTED},
            ),
        ),
        answers={
            200: Answered(description="The newest first", content={"application/json": JobList}),
            400: Answered(description="A limit that is none", content=REFUSED),
            **AWAY,
        },
    ),
    Operation(
        method="GET",
        path="/jobs/{id}",
        handle=show,
        action="jobs",
        summary="One job",
        tag="Jobs",
        parameters=(ID,),
        answers={200: Answered(description="As it is now", content=ONE), **UNKNOWN, **AWAY},
    ),
    Operation(
        method="GET",
        path="/jobs/{id}/events",
        handle=events,
        action="jobs",
        summary="Watch a job",
        tag="Jobs",
        parameters=(
            ID,
            Parameter(
                name="Last-Event-ID",
                place="header",
                description="As an EventSource sends it",
                schema={"type": "string"},
            ),
        ),
        answers={
            200: Answered(
                description="Server-sent events: `data` is the job, once now and once for each change, until it ends",
                content={"text/event-stream": EVENT},
            ),
            204: Answered(description="Nothing will come after Last-Event-ID"),
            **UNKNOWN,
            **AWAY,
        },
    ),
    Operation(
        method="POST",
        path="/jobs/{id}/cancel",
        handle=cancel,
        action="jobs",
        summary="Cancel a job",
        tag="Jobs",
        parameters=(ID,),
        answers={
            200: Answered(
                description="It is cancelled, or ends as soon as what it has in hand is finished", content=ONE,
                headers=LOCATION,
            ),
            409: Answered(description="It has ended already", content=REFUSED),
            **UNKNOWN,
            **AWAY,
        },
    ),
    Operation(
        method="GET",
        path="/jobs/{id}/report",
        handle=report,
        action="jobs",
        summary="What a job did, as a page",
        tag="Jobs",
        parameters=(ID,),
        answers={
            200: Answered(description="A page that loads nothing", content={"text/html": {"type": "string"}}),
            404: Answered(description="No such job, or nothing to report yet", content=REFUSED),
            507: Answered(description="No room is left where jobs are kept", content=REFUSED),
            **AWAY,
        },
    ),
)  # fmt: skip
