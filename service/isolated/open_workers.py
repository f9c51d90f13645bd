"""The processes that the supervisor started for models, as the gateway finds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.load import Described
from service.isolated.errors import NoProcesses
from service.isolated.pool import Pool
from service.isolated.remote_worker import RemoteWorker
from service.isolated.slot import Slot
from service.isolated.slots import NAME
from service.lanes.repository import OpenWorker
from service.lanes.worker import Worker
from service.settings import Settings
from service.supervise.ends import VARIABLE


def open_remote_workers(environ: Mapping[str, str]) -> OpenWorker:
    """What loads a model into one of this server's processes, none of which is taken.

    Raises:
        NoProcesses: BentoML was told to start none.
    """
    from bentoml._internal.container import BentoMLContainer
    from bentoml._internal.utils.uri import uri_to_path

    addresses: dict[str, str] = BentoMLContainer.remote_runner_mapping.get()
    ends = Path(environ[VARIABLE]) if VARIABLE in environ else None
    slots = [
        Slot(name, uri_to_path(address), ends=ends) for name, address in addresses.items() if name.startswith(NAME)
    ]
    if not slots:
        raise NoProcesses()
    pool = Pool(slots)

    def open_worker(described: Described, settings: Settings) -> Worker:
        return RemoteWorker(described, settings, pool)

    return open_worker
