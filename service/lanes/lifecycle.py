"""Load, unload, another version in place of the first, and back, while the server goes on answering."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from models.errors import ModelError, ModelNotFound
from models.load import Described, describe_model, describe_tag, is_class_name
from models.locate import TAG_PART
from service.errors import ServiceError, UnknownModel
from service.lanes.errors import ModelNotServable, NameNotLoadable, SeveralVersions, UnknownTag
from service.lanes.lane import Lane
from service.lanes.repository import Lanes
from service.lanes.try_lane import try_lane
from service.settings import Settings

log = logging.getLogger("bentoml.tandem")

Result = TypeVar("Result")
#: Between the moment when nobody finds a lane any more and its closing: requests that have found it just now come in.
GRACE_S = 0.25

OpenLane = Callable[[Described, Settings], Lane]
CheckRoom = Callable[[Described], None]


class Lifecycle:
    """Changes which models are served, one change of the same kind at a time, and none by halves.

    A model is found, verified, loaded, warmed up and tried in a thread, and only then becomes one of the lanes; until
    then, and where any of it fails, nothing changes for anybody. A change that was begun is finished, whether or not
    its caller stays. Nothing of this outlives the process: a restart serves what TANDEM_MODELS names.

    Args:
        lanes: what is served.
        settings: which names may be loaded, and how models run.
        open_lane: loads a described model and opens its lane; blocking. Raises ModelError.
        check_room: refuses a model for which there is no room. Raises ServiceError.
    """

    def __init__(self, lanes: Lanes, settings: Settings, *, open_lane: OpenLane, check_room: CheckRoom) -> None:
        self._lanes, self._settings = lanes, settings
        self._open_lane, self._check_room = open_lane, check_room
        self._loading = asyncio.Lock()
        self._unloading: dict[str, asyncio.Task[None]] = {}
        self._unloaded: set[str] = set()
        self._changes: set[asyncio.Task[Any]] = set()

    async def load(self, name: str, *, default: bool, allowed: Callable[[str], None]) -> Lane:
        """Serve a model, beside those that are; one that is served already is not loaded again.

        Args:
            name: `name` (the store's latest version) or `name:version`; another name only as the operator allows it.
            default: whether the bare name means this version from now on.
            allowed: raises where the caller may not do this with a tag.

        Raises:
            NameNotLoadable, UnknownTag, ModelNotServable, TooLittleMemory: see their classes.
        """
        return await self._finish(self._load(name, default, allowed))

    async def unload(self, tag: str) -> None:
        """Answer nothing new with a model, answer what waits for it, and let go of it.

        Where the bare name meant it, it means the newest other version from now on. Of one that was unloaded already
        nothing is left to do.

        Raises:
            UnknownModel: it is not served, and was not.
            SeveralVersions: a bare name of several.
        """
        versions = self._lanes.versions(tag)
        if len(versions) > 1:
            raise SeveralVersions(tag, versions=versions)
        tag = versions[0] if versions else tag
        lane = self._lanes.get(tag)
        if lane is not None:
            self._lanes.remove(tag)
            self._unloading[tag] = asyncio.create_task(self._close(lane))
        elif tag not in self._unloaded:
            raise UnknownModel(tag, known=self._lanes.tags)
        if tag in self._unloading:
            await asyncio.shield(self._unloading[tag])

    def set_default(self, tag: str) -> Lane:
        """Let the bare name mean this version, from the next request on.

        Raises:
            UnknownModel: it is not served.
        """
        lane = self._lanes.get(tag)
        if lane is None:
            raise UnknownModel(tag, known=self._lanes.tags)
        self._lanes.set_default(tag)
        log.info("model default: %s", tag)
        return lane

    async def stop(self) -> None:
        """Wait for the changes that were begun."""
        await asyncio.gather(*self._changes, *self._unloading.values(), return_exceptions=True)

    async def _load(self, name: str, default: bool, allowed: Callable[[str], None]) -> Lane:
        async with self._loading:
            lane = self._lanes.get(name)
            if lane is None:
                described = await asyncio.to_thread(self._describe, name)
                allowed(described.tag)
                lane = self._lanes.get(described.tag) or await self._open(described)
            else:
                allowed(lane.tag)
            if default:
                self._lanes.set_default(lane.tag)
            return lane

    async def _open(self, described: Described) -> Lane:
        if unloading := self._unloading.get(described.tag):
            await asyncio.shield(unloading)
        self._check_room(described)
        try:
            lane = await asyncio.to_thread(self._open_lane, described, self._settings)
        except ServiceError:
            raise
        except Exception as error:  # whatever a model's own code or files bring about: those that run are untouched
            log.warning("model not loaded: %s", described.tag, exc_info=error)
            why = str(error) if isinstance(error, ModelError) else f"{type(error).__name__}: {error}."
            raise ModelNotServable(described.tag, why=why) from None
        try:
            await try_lane(lane)
        except ModelNotServable as error:
            log.warning("model not loaded: %s", error)
            await asyncio.to_thread(lane.close)
            raise
        self._lanes.add(lane, described)
        self._unloaded.discard(lane.tag)
        return lane

    def _describe(self, name: str) -> Described:
        """Find and verify what a name means, if it may be loaded over HTTP at all."""
        source = self._lanes.source_of(name) or name
        try:
            if self._is_granted(source):
                found = describe_model(source)
                if name in (source, found.tag):
                    return found  # else the name that it had at the start means another version by now
            base, colon, version = name.partition(":")
            if is_class_name(name) or not all(map(TAG_PART.fullmatch, (base, version) if colon else (base,))):
                raise NameNotLoadable(name)
            return describe_tag(name)
        except ModelNotFound:
            raise UnknownTag(name) from None
        except ModelError as error:
            raise ModelNotServable(name[:200], why=str(error)) from None

    def _is_granted(self, name: str) -> bool:
        """Whether the operator named it; an s3:// prefix with a slash at its end stands for all below it."""
        granted = (*self._settings.models, *self._settings.lanes.may_load)
        below = tuple(prefix for prefix in granted if prefix.startswith("s3://") and prefix.endswith("/"))
        return name in granted or (name.startswith(below) and ".." not in name)

    async def _close(self, lane: Lane) -> None:
        try:
            await asyncio.sleep(GRACE_S)
            await asyncio.to_thread(lane.close)
            log.info("model unloaded: %s", lane.tag)
        finally:
            self._unloaded.add(lane.tag)
            self._unloading.pop(lane.tag, None)
            del lane
            gc.collect()

    async def _finish(self, change: Coroutine[Any, Any, Result]) -> Result:
        """Await a change that goes on where its caller does not."""
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)
