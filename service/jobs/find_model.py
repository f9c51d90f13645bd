"""Which model a job's request means, and whether this caller's jobs may run it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from models.errors import ModelError
from models.load import is_class_name
from models.locate import TAG_PART, locate_tag
from service.door.access import require_model
from service.errors import UnknownModel
from service.jobs.errors import UnknownJobModel
from service.serving import serving_of


async def find_model(request: Request, name: str) -> tuple[str, str]:
    """The tag of a model, and the name by which a job finds it.

    A request names a tag of the model store or a model that is served; never a folder, a bucket or a class of its own,
    whose code or weights the server would run.

    Args:
        request: whose caller asks.
        name: as the request has it.

    Raises:
        UnknownJobModel: there is none, or none that this caller may know of.
    """
    lanes = serving_of(request).models
    try:
        tag = next((tag for tag in lanes.tags if lanes.source_of(tag) == name), None) or lanes.find(name).tag
    except UnknownModel:
        tag = await asyncio.to_thread(find_in_store, name)
    source = lanes.source_of(tag) or tag
    try:
        require_model(request, "jobs", tag)
    except UnknownModel:  # in the same words as of one that is not there
        raise UnknownJobModel(name) from None
    return tag, source if is_class_name(source) or "/" in source else tag


def find_in_store(name: str) -> str:
    """`name:version` of a tag.

    Raises:
        UnknownJobModel: the store and the zoo have none of that name.
    """
    plain, _, version = name.partition(":")
    if not TAG_PART.fullmatch(plain) or (version and not TAG_PART.fullmatch(version)):
        raise UnknownJobModel(name)
    try:
        return f"{plain}:{locate_tag(name).version}"
    except ModelError:
        raise UnknownJobModel(name) from None
