"""POST /v2/repository/...: Triton's model repository extension, over the same lifecycle as POST /models/load."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.locate import known_tags, recorded_version, zoo_folders
from service.door.access import may_see, require_model
from service.protocols.models_json import load_allowed
from service.protocols.read_body import read_body
from service.protocols.v2.schemas import IndexRequest, RepositoryModel, RepositoryRequest
from service.serving import serving_of


async def index(request: Request) -> Response:
    """The models that are served, and those of the store that the caller might load."""
    asked = await read_body(request, IndexRequest, empty=b"{}")
    served = serving_of(request).models
    found = [
        entry(tag, ready=lane.alive, reason="" if lane.alive else "it does not answer now")
        for tag in served.tags
        if may_see(request, "predict", tag) and (lane := served.get(tag))
    ]
    if not asked.ready:
        stored = await asyncio.to_thread(stored_tags)
        found += [
            entry(tag, ready=False, reason="in the store, not loaded")
            for tag in stored
            if served.get(tag) is None and may_see(request, "admin", tag)
        ]
    return JSONResponse([one.model_dump() for one in found if one.state == "READY" or not asked.ready])


async def load(request: Request) -> Response:
    """Serve a model; of a bare name the store's latest version, which the bare name then means."""
    await read_body(request, RepositoryRequest, empty=b"{}")
    lane = await load_allowed(request, request.path_params["model"], default=True)
    return JSONResponse(entry(lane.tag, ready=lane.alive, reason="").model_dump())


async def unload(request: Request) -> Response:
    """Serve a model no more; of a bare name all its versions."""
    await read_body(request, RepositoryRequest, empty=b"{}")
    name, serving = request.path_params["model"], serving_of(request)
    tags = serving.models.versions(name) or [name]
    for tag in tags:  # all of them first: a key of one version takes none away
        require_model(request, "admin", tag, asked=name)
    for tag in tags:
        await serving.lifecycle.unload(tag)
    return JSONResponse(entry(name, ready=False, reason="unloaded").model_dump())


def entry(tag: str, *, ready: bool, reason: str) -> RepositoryModel:
    name, _, version = tag.partition(":")
    return RepositoryModel(name=name, version=version, state="READY" if ready else "UNAVAILABLE", reason=reason)


def stored_tags() -> list[str]:
    """What POST /models/load could load: the store's, then the zoo's."""
    zoo = [f"{folder.name}:{recorded_version(folder)}" for folder in zoo_folders()]
    return list(dict.fromkeys([*known_tags(), *zoo]))
