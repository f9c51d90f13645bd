"""The BentoML service: a lane for each model in one process, or with --isolated a process for each model.

`bentoml serve` in the repository root, or of a built bento, starts it. BentoML packages, supervises and exposes;
batching (service/lanes/), protocols and the door are ours.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLConfigException

from service.bento import ROOT, models_of_bento
from service.bento_layers import leave_layers_out
from service.check import find_problem
from service.door.audit import check_target
from service.door.bind import host_of_command, refuse_public, refuse_public_sockets
from service.door.connections import guard_connections, raise_handle_limit
from service.door.door import Door
from service.door.key_file import read_key_file
from service.errors import ServiceError, SettingsInvalid
from service.isolated.slots import depending_on, make_slots, refuse_shared
from service.observe.watch import Watch
from service.packaging import describe_image, model_references
from service.routes import OPERATIONS, Ours, make_app
from service.settings import read_settings
from service.supervise.arbiter import supervise_orderly
from service.supervise.refusal import CannotServe
from service.supervise.worker import work_for_supervisor

# The one place that reads the environment at import: BentoML wants a service's models and variables when its class is
# made, and checks them before it starts a process.
try:
    SETTINGS = read_settings(os.environ, built_with=models_of_bento())
except SettingsInvalid as error:
    raise BentoMLConfigException(str(error)) from None
supervise_orderly(SETTINGS.supervise)
leave_layers_out()

#: BentoML's own default is every address of the machine; it is ours in a container only, whose address is nobody's.
DEFAULT_HOST = "0.0.0.0" if os.environ.get("BENTOML_CONTAINERIZED", "").lower() == "true" else "127.0.0.1"

#: With --isolated: services of a process each, told their models by ours.
SLOTS = make_slots(SETTINGS)


@bentoml.service(
    name="tandem",
    image=describe_image(ROOT, SETTINGS),
    workers=1,
    http={"host": DEFAULT_HOST},
    # What BentoML says of requests is off: its metrics have a series for each path that anybody ever asked for.
    # Ours are in service/observe/.
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    # One OpenMP thread for what is not told otherwise: idle teams spin, and slow a small model a hundredfold. The
    # runtimes are given SETTINGS.threads themselves.
    envs=[{"name": "OMP_NUM_THREADS", "value": "1"}],
)
@depending_on(SLOTS)
class Tandem:
    """Predicts rows with the models that it serves; GET /docs.json says all that it answers."""

    def __init__(self) -> None:
        from service.serving import Serving  # the arithmetic belongs to the worker, not to its supervisor

        work_for_supervisor(os.environ)
        logging.getLogger("bentoml.serve").setLevel(logging.WARNING)  # what else it says, we say better
        refuse_public_sockets(SETTINGS.door)
        raise_handle_limit(SETTINGS.door)
        self.serving = Serving(SETTINGS)

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Before any worker is started: may it listen there, and can every model be served?"""
        try:
            refuse_public(host_of_command(), SETTINGS.door)
            refuse_shared(SETTINGS, os.environ)
            if SETTINGS.door.keys:
                read_key_file(SETTINGS.door.keys)
            check_target(SETTINGS.door.audit_log)
        except ServiceError as error:
            raise CannotServe(str(error), exit_code=2) from None
        if problem := find_problem(SETTINGS):
            raise CannotServe(problem.message, exit_code=problem.exit_code)

    @bentoml.on_shutdown
    def close(self) -> None:
        self.serving.close()

    def __is_ready__(self) -> bool:
        return self.serving.ready


#: What the decorator makes of the class; its type does not say so.
SERVICE: Any = Tandem
SERVICE.models.extend(model_references(SETTINGS))
OURS = make_app()
SERVICE.mount_asgi_app(OURS, path="/", name="tandem")  # for its lifespan; requests come to it by the middleware below
guard_connections(SETTINGS.door)
SERVICE.add_asgi_middleware(Watch, ours=OURS)
SERVICE.add_asgi_middleware(Door, settings=SETTINGS.door, operations=OPERATIONS)
SERVICE.add_asgi_middleware(Ours, ours=OURS)
