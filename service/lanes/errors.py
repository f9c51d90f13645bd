"""What can go wrong when the models that are served are changed, and its HTTP status.

ServiceError
├── NameNotLoadable     403         a name that HTTP may not load: a file, an address or a class of the server's
├── UnknownTag          404         no such model in the store
├── SeveralVersions     409         a bare name where one version must be meant
├── ModelNotServable    422         found, and damaged, refused, or not able to answer here
└── TooLittleMemory     507         loading it would leave less memory than the operator wants to be free
"""

from __future__ import annotations

from collections.abc import Sequence

from service.errors import ServiceError, hide_places


class NameNotLoadable(ServiceError):
    """A name that only the operator may give at the server's start."""

    status = 403

    def __init__(self, name: str) -> None:
        super().__init__(
            f"model: {name[:200]!r} is no tag of the model store; over HTTP only those are loaded. "
            "Folders, s3:// prefixes and classes are named by the operator: TANDEM_MODELS, or TANDEM_MAY_LOAD."
        )
        self.name = name


class UnknownTag(ServiceError):
    """A tag that neither the store nor the zoo has."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(
            f"model: the server's model store has no {name[:200]!r}. `tandem model list` says what it has, "
            "`tandem model add` adds one."
        )
        self.name = name


class SeveralVersions(ServiceError):
    """A name that means more than one model, where one must be meant."""

    status = 409

    def __init__(self, name: str, *, versions: Sequence[str]) -> None:
        super().__init__(f"model: {name!r} is served in {len(versions)} versions; name one: {', '.join(versions)}.")
        self.name, self.versions = name, tuple(versions)


class ModelNotServable(ServiceError):
    """A model that was found and cannot be served; what ran before runs on."""

    status = 422

    def __init__(self, name: str, *, why: str) -> None:
        said = hide_places(why)[:500]
        super().__init__(f"{name} was not loaded: {said} What was served before still is.")
        self.name, self.why = name, why


class TooLittleMemory(ServiceError):
    """Loading would leave too little memory to those that are served."""

    status = 507

    def __init__(self, name: str, *, needs_bytes: int, free_bytes: int, keep_bytes: int) -> None:
        needs, free, keep = (round(size / (1 << 20)) for size in (needs_bytes, free_bytes, keep_bytes))
        super().__init__(
            f"{name} was not loaded: it takes about {needs} MiB, {free} MiB are free and {keep} MiB must stay so "
            "(TANDEM_KEEP_FREE_MB). Unload another model first: POST /models/unload."
        )
        self.name, self.needs_bytes, self.free_bytes = name, needs_bytes, free_bytes
