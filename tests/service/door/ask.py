"""A door with a small application behind it, asked without a server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.door.door import Door
from service.door.key import Key
from service.door.key_file import KeyFile, StoredKey, change_key_file, hash_key
from service.door.settings import DoorSettings
from service.errors import ServiceError
from service.operations import Action, Answered, Operation
from service.refusals import answer_error

PATHS: tuple[tuple[Any, str, Action | None], ...] = (
    ("GET", "/models", "predict"),
    ("POST", "/predict", "predict"),
    ("GET", "/v1/models", "predict"),
    ("GET", "/v2/models/{name}", "predict"),
    ("POST", "/jobs", "jobs"),
    ("GET", "/jobs/{id}", "jobs"),
    ("POST", "/models/load", "admin"),
    ("GET", "/ui", None),
)


async def answer(request: Request) -> Response:
    """Says who asked, and what his body was."""
    body = await request.body()
    key = request.scope["tandem.key"]
    assert isinstance(key, Key)
    return JSONResponse({"key": key.name, "size": len(body), "end": body[-20:].decode("latin-1")})


OPERATIONS = tuple(
    Operation(
        method=method,
        path=path,
        handle=answer,
        action=action,
        summary="",
        tag="",
        answers={200: Answered(description="")},
    )
    for method, path, action in PATHS
)


def make_door(settings: DoorSettings | None = None, **said: Any) -> Door:
    routes = [Route(path, answer, methods=None) for path in dict.fromkeys(path for _, path, _ in PATHS)]
    for route in routes:
        route.methods = None
    pages = [Route(path, answer) for path in ("/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/")]
    app = Starlette(routes=[*routes, *pages], exception_handlers={ServiceError: answer_error})
    return Door(app, settings=settings or DoorSettings(**{"audit_log": os.devnull, **said}), operations=OPERATIONS)


def ask(
    door: Door,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: Any = None,
    url: str = "http://127.0.0.1:3000",
) -> httpx.Response:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=url) as client:
            raw = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
            return await client.request(method, path, headers=raw, content=content)

    return asyncio.run(once())


def add_key(path: Path, name: str, *scopes: str, **said: Any) -> dict[str, str]:
    """Add a key to a file; the header that brings it."""
    stored = StoredKey(name=name, sha256=hash_key(name * 9), scopes=list(scopes), **said)
    change_key_file(path, lambda file: KeyFile(keys=[*file.keys, stored]))
    return {"Authorization": f"Bearer {name * 9}"}
