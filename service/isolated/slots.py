"""Slots: a BentoML service for each model's process. They are all alike, and told their models when they run."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import bentoml

from service.isolated.errors import NotPrivate
from service.isolated.seat_app import SeatApp
from service.settings import Settings
from service.supervise.worker import work_for_supervisor

Gateway = TypeVar("Gateway", bound=type)

NAME = "tandem-slot-"


def make_slots(settings: Settings) -> list[Any]:
    """The services; none where models are not isolated."""
    if not settings.isolated.on:
        return []
    let_bentos_lack_slots()
    return [make_slot(number) for number in range(1, len(settings.models) + settings.isolated.spare + 1)]


def let_bentos_lack_slots() -> None:
    """A bento lists the services that it was built with; how many slots there are is said when it is served.

    BentoML looks each service up in that list, for models of the Hugging Face hub, of which ours have none.
    """
    from _bentoml_sdk import Service

    def on_load_bento(service: Any, bento: Any) -> None:
        for each in service.all_services().values():
            each.bento = bento

    Service.on_load_bento = on_load_bento


def make_slot(number: int) -> Any:
    """One service, which is one process."""
    slot = bentoml.service(
        name=f"{NAME}{number}",
        workers=1,
        # BentoML closes a connection after 100 requests or 300 s, under those that are in flight.
        runner_connection={"max_requests": 10**9, "max_age": 1e9},
        logging={"access": {"enabled": False}},
        metrics={"enabled": False},
        envs=[{"name": "OMP_NUM_THREADS", "value": "1"}],
    )(type(f"Slot{number}", (Slot,), {"__doc__": Slot.__doc__, "__module__": __name__}))
    slot.add_asgi_middleware(SeatApp)
    return slot


class Slot:
    """A process for one model. It is asked by the gateway alone, over a private socket."""

    def __init__(self) -> None:
        work_for_supervisor(os.environ)
        # Told to end, a server answers what it has begun, and for that it needs its models: who ends these is the
        # supervisor, once the gateway has ended.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.getLogger("bentoml.serve").setLevel(logging.WARNING)


def depending_on(slots: Sequence[Any]) -> Any:
    """Make a service's class depend on slots: BentoML starts their processes, each with a socket."""

    def depend(gateway: Gateway) -> Gateway:
        for slot in slots:
            setattr(gateway, slot.name.replace("-", "_"), bentoml.depends(slot))
        return gateway

    return depend


def refuse_shared(settings: Settings, environ: Mapping[str, str]) -> None:
    """Refuse to start where BentoML would have the models' processes listen on the network.

    Raises:
        NotPrivate: says what there is to do.
    """
    if settings.isolated.on and "BENTOML_NO_UDS" in environ:
        raise NotPrivate()
