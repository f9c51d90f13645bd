"""The lanes of one server process: opened at start, found by the name in a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from models.load import load_model
from models.model import Model
from service.errors import SettingsInvalid, UnknownModel
from service.lanes.contract import Lane
from service.lanes.lane import Lane as ThreadLane
from service.lanes.warm_up import warm_up
from service.schemas import ModelCard
from service.settings import Settings

log = logging.getLogger("bentoml.tandem")


class Lanes:
    """A lane for each model, in the order in which the models were named."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._by_tag = {lane.tag: lane for lane in lanes}
        self._by_name: dict[str, Lane] = {}
        for lane in lanes:
            self._by_name.setdefault(lane.tag.partition(":")[0], lane)

    def find(self, name: str) -> Lane:
        """The lane of `name:version`, or of `name`: its first version, as TANDEM_MODELS lists them.

        Raises:
            UnknownModel: none of that name; the error lists those that are here.
        """
        lane = self._by_tag.get(name) or self._by_name.get(name.removesuffix(":latest"))
        if lane is None:
            raise UnknownModel(name, known=list(self._by_tag))
        return lane

    @property
    def ready(self) -> bool:
        """Whether every lane can answer."""
        return all(lane.alive for lane in self._by_tag.values())

    def cards(self) -> list[ModelCard]:
        return [lane.card() for lane in self._by_tag.values()]

    def close(self) -> None:
        for lane in self._by_tag.values():
            lane.close()


def open_lanes(settings: Settings) -> Lanes:
    """Load every model, let it answer a row, and open its lane.

    Raises:
        ModelError: a model that is not there, is damaged, or cannot run here.
        SettingsInvalid: two names of one model.
    """
    lanes: list[Lane] = []
    for name in settings.models:
        begun = time.monotonic()
        model = load_named(name, settings)
        if model.tag in {lane.tag for lane in lanes}:
            raise SettingsInvalid("TANDEM_MODELS", found=",".join(settings.models), expected=f"{model.tag} only once")
        answer = warm_up(model)
        log.info("model ready: %s %s %s in %.1f s (first row: %s)", model.tag, model.variant, model.digest[:12],
                 time.monotonic() - begun, answer)  # fmt: skip
        lanes.append(
            ThreadLane(model, max_queue_rows=settings.lanes.max_queue_rows, max_wait_s=settings.lanes.max_wait_s)
        )
    return Lanes(lanes)


def load_named(name: str, settings: Settings) -> Model:
    """Load one model, which reads nothing but what a request holds."""
    return load_model(
        name,
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
