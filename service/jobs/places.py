"""Places: what a caller may have read and written with the server's own credentials and rights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.uris import path_of
from service.jobs.errors import JobForbidden, JobRefused

#: Settings of a job that name places.
PLACES = ("input", "output")
ANYWHERE = ("s3://", "/")


def settle_places(spec: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    """The job with every place written out in full, each of them an allowed one.

    A local path is taken from the server's working folder, with links resolved, so that the job is run on what was
    checked. A column of URIs may name the whole bucket or folder of the input besides, as in every job.

    Raises:
        JobRefused: it is no place.
        JobForbidden: it is none that callers of this server may name.
    """
    found: dict[str, Any] = {name: settle_place(name, spec[name], allowed) for name in PLACES}
    if "allow_uri" in spec:
        found["allow_uri"] = [settle_place("allow_uri", place, allowed) for place in spec["allow_uri"]]
    return spec | found


def settle_place(name: str, place: str, allowed: Sequence[str]) -> str:
    """One place in full."""
    if ".." in place.replace("\\", "/").split("/"):
        raise JobRefused(f"{name}: {place[:200]!r} has '..' in it; write the place itself.")
    said = place
    if not place.startswith("s3://"):
        place = local_place(name, place)
    if not any(is_below(place, prefix) for prefix in allowed):
        where = ", ".join(allowed) or "nowhere"
        raise JobForbidden(
            f"{name}: jobs of this server read and write {where}, found {said[:200]!r}. Whoever runs it says more "
            "with --jobs-allow."
        )
    return place


def local_place(name: str, place: str) -> str:
    """A local path in full; its last parts may be a pattern, and need not exist."""
    try:
        path = path_of(place) if place.startswith("file://") else place
    except ValueError as error:
        raise JobRefused(f"{name}: {place[:200]!r} is no local place: {error}.") from None
    if "://" in path:
        raise JobRefused(f"{name}: expected s3://bucket/prefix/ or a local folder, found {place[:200]!r}.")
    try:
        return os.path.realpath(Path(path).expanduser()) + ("/" if path.endswith("/") else "")
    except (OSError, RuntimeError, ValueError):
        raise JobRefused(f"{name}: {place[:200]!r} is no place that can be read.") from None


def is_below(place: str, prefix: str) -> bool:
    """Whether a place is the allowed one or lies below it; a prefix ends at a slash, so that `ab` is not below `a`."""
    if prefix == "s3://":
        return place.startswith("s3://")
    if not prefix.startswith("s3://"):
        if place.startswith("s3://"):
            return False
        prefix = os.path.realpath(Path(prefix).expanduser())
    return (place.rstrip("/") + "/").startswith(prefix.rstrip("/") + "/")
