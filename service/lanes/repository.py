"""The lanes of one server process: opened at start, found by the name in a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from models.load import Described, describe_model, load_model
from models.model import Model
from service.errors import SettingsInvalid, UnknownModel
from service.lanes.lane import CLOSE_S, Lane
from service.lanes.warm_up import sample_rows, warm_up
from service.lanes.worker import LocalWorker, Worker
from service.schemas import ModelCard
from service.settings import Settings

log = logging.getLogger("bentoml.tandem")

#: Loads a described model, in this process or in one of its own; blocking. Raises ModelError.
OpenWorker = Callable[[Described, Settings], Worker]


class Lanes:
    """The lanes by `name:version`, in the order in which they were opened, and which version a bare name means.

    Changed in the event loop only, each change in one step: a request finds what was there before or after it.
    """

    def __init__(self) -> None:
        self._by_tag: dict[str, Lane] = {}
        self._default: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self._kept: set[str] = set()
        self._folders: dict[str, Path | None] = {}
        self._loaded_at: dict[str, int] = {}

    def find(self, name: str) -> Lane:
        """The lane of `name:version`, or of `name`: the version that it means now.

        Raises:
            UnknownModel: none of that name; the error lists those that are here.
        """
        lane = self._by_tag.get(name) or self._by_tag.get(self._default.get(name.removesuffix(":latest"), ""))
        if lane is None:
            raise UnknownModel(name, known=self.tags)
        return lane

    def get(self, tag: str) -> Lane | None:
        return self._by_tag.get(tag)

    def add(self, lane: Lane, described: Described, *, kept: bool = False) -> None:
        """Serve one more; the first of a name is what the bare name means.

        Args:
            lane: of a tag that is not here.
            described: what was loaded, and under which name.
            kept: whether a restart serves it again.
        """
        self._by_tag[lane.tag] = lane
        self._default.setdefault(name_of(lane.tag), lane.tag)
        self._sources[lane.tag] = described.name
        self._folders[lane.tag], self._loaded_at[lane.tag] = described.folder, int(time.time())
        if kept:
            self._kept.add(lane.tag)

    def remove(self, tag: str) -> None:
        """Find it no more; a bare name that meant it means the newest other version."""
        del self._by_tag[tag]
        if self._default.get(name := name_of(tag)) == tag:
            others = self.versions(name)
            if others:
                self._default[name] = others[-1]
            else:
                del self._default[name]

    def set_default(self, tag: str) -> None:
        self._default[name_of(tag)] = tag

    def is_default(self, tag: str) -> bool:
        return self._default.get(name_of(tag)) == tag

    def versions(self, name: str) -> list[str]:
        """The tags of a bare name, the newest last; or of one tag, itself; none where it is not served."""
        return [tag for tag in self._by_tag if name in (tag, name_of(tag))]

    def source_of(self, tag: str) -> str | None:
        """Under which name a tag was loaded, now or before it was unloaded."""
        return self._sources.get(tag)

    def folder_of(self, tag: str) -> Path | None:
        """Where the files of a model lie; None for an operator's own class."""
        return self._folders.get(tag)

    def loaded_at(self, tag: str) -> int:
        """When it was loaded, in seconds since 1970."""
        return self._loaded_at[tag]

    @property
    def tags(self) -> list[str]:
        return list(self._by_tag)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._by_tag.values()))

    @property
    def ready(self) -> bool:
        """Whether there is a lane, and every one of them can answer."""
        return bool(self._by_tag) and all(lane.alive for lane in self._by_tag.values())

    def card(self, lane: Lane) -> ModelCard:
        return lane.card().model_copy(
            update={
                "default": self.is_default(lane.tag),
                "versions": self.versions(name_of(lane.tag)),
                "kept": lane.tag in self._kept,
            }
        )

    def cards(self) -> list[ModelCard]:
        return [self.card(lane) for lane in self._by_tag.values()]

    def close(self) -> None:
        for lane in self._by_tag.values():
            lane.close(timeout_s=CLOSE_S)  # the server's own bound goes on besides


def name_of(tag: str) -> str:
    return tag.partition(":")[0]


def open_lanes(settings: Settings, open_worker: OpenWorker) -> Lanes:
    """Load every model, let it answer a row, and open its lane.

    Args:
        settings: names the models.
        open_worker: loads one, here or in a process of its own.

    Raises:
        ModelError: a model that is not there, is damaged, or cannot run here.
        SettingsInvalid: two names of one model.
    """
    lanes = Lanes()
    for name in settings.models:
        described = describe_model(name)
        if described.tag in lanes.tags:
            raise SettingsInvalid(
                "TANDEM_MODELS", found=",".join(settings.models), expected=f"{described.tag} only once"
            )
        lanes.add(open_lane(described, settings, open_worker=open_worker), described, kept=True)
    return lanes


def open_lane(described: Described, settings: Settings, *, open_worker: OpenWorker) -> Lane:
    """Load a model, learn what its rows take here, and open its lane.

    Raises:
        ModelError: a model that cannot run here.
    """
    worker = open_worker(described, settings)
    lanes = settings.lanes
    return Lane(
        worker,
        slo_s=lanes.latency_slo.of(worker.tag),
        max_queue_rows=lanes.max_queue_rows,
        max_wait_s=lanes.max_wait_s,
    )


def open_local_worker(described: Described, settings: Settings) -> Worker:
    """Load a model into this process, and let it answer a row.

    Raises:
        ModelError: a model that cannot run here.
    """
    begun = time.monotonic()
    model = load_described(described, settings)
    answer = warm_up(model)
    log.info("model ready: %s %s %s in %.1f s (first row: %s)", model.tag, model.variant, model.digest[:12],
             time.monotonic() - begun, answer)  # fmt: skip
    return LocalWorker(model, samples=sample_rows(model))


def load_described(described: Described, settings: Settings) -> Model:
    """Load one model, which reads nothing but what a request holds."""
    return load_model(
        described,
        runtime=settings.runtime,
        precision=settings.precision,
        tolerance=settings.tolerance,
        device=settings.device,
        threads=settings.threads,
        fetch=refuse_to_fetch,
    )


def refuse_to_fetch(uri: str) -> bytes:
    """What an image model reads places with: nothing that came over HTTP names a file or an address to read."""
    raise ValueError("files and addresses are not read over HTTP")
