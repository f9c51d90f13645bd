"""GET /ui, its files, and / that leads there. They hold no data: the page asks the API, with its caller's key."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from service.door.access import key_of
from service.door.scope import ACTIONS
from service.operations import Action, Answered, Operation, Parameter
from service.schemas import ErrorResponse
from service.ui.errors import NoSuchFile
from service.ui.files import CSS, HTML, JS, SVG, TYPES, PageFile, read_files


class Allowed(BaseModel):
    """What a key may do with some model at least."""

    actions: list[Action]


#: Nothing from another host, nothing inline, nothing framed, and no text that becomes markup or script.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
#: Beside those that the door adds to every answer.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",  # kept, and asked for again by ETag: a new version is seen at once
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


async def page(request: Request) -> Response:
    """The page itself."""
    return answer_file(request, read_files()["index.html"])


async def static(request: Request) -> Response:
    """One of its files."""
    name = request.path_params["name"]
    found = read_files().get(name)
    if found is None or found.media_type == HTML:
        raise NoSuchFile()
    return answer_file(request, found)


async def allowed(request: Request) -> Response:
    """What the caller's key may do, so that the page offers nothing else."""
    key = key_of(request)
    return JSONResponse(Allowed(actions=[action for action in ACTIONS if key.may(action)]).model_dump())


async def home(request: Request) -> Response:
    """From the root to the page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/ui", status_code=307, headers=dict(HEADERS))


def answer_file(request: Request, file: PageFile) -> Response:
    """The file, or 304 where the caller has it already."""
    headers = {**HEADERS, "ETag": file.etag}
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in asked or asked == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


TEXT: Mapping[str, str] = {"type": "string"}
ETAG = Parameter(
    name="If-None-Match",
    place="header",
    description="ETags that the caller has, between commas",
    schema={"type": "string"},
)
UNCHANGED = Answered(description="The caller has it already")

OPERATIONS = (
    Operation(
        method="GET",
        path="/",
        handle=home,
        action=None,
        summary="Leads to the page",
        tag="Page",
        answers={307: Answered(description="To /ui", headers={"Location": "/ui"})},
    ),
    Operation(
        method="GET",
        path="/ui",
        handle=page,
        action=None,
        summary="The page: models, a place to try them, jobs, and the load",
        tag="Page",
        parameters=(ETAG,),
        answers={200: Answered(description="The page", content={f"{HTML}; charset=utf-8": TEXT}), 304: UNCHANGED},
    ),
    Operation(
        method="GET",
        path="/ui/allowed",
        handle=allowed,
        action=None,
        summary="What the caller's key may do; without one, where keys are asked for: nothing",
        tag="Page",
        answers={200: Answered(description="Its actions", content={"application/json": Allowed})},
    ),
    Operation(
        method="GET",
        path="/ui/static/{name}",
        handle=static,
        action=None,
        summary="A file of the page",
        tag="Page",
        parameters=(
            Parameter(
                name="name",
                place="path",
                description="Its name",
                schema={"type": "string", "enum": [name for name, kind in TYPES.items() if kind != HTML]},
                required=True,
            ),
            ETAG,
        ),
        answers={
            200: Answered(
                description="The file",
                content={f"{CSS}; charset=utf-8": TEXT, f"{JS}; charset=utf-8": TEXT, SVG: TEXT},
            ),
            304: UNCHANGED,
            404: Answered(description="No file of that name", content={"application/json": ErrorResponse}),
        },
    ),
)
