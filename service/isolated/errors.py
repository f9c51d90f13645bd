"""What can go wrong between the gateway and a model's process.

ServiceError
├── NotPrivate          (at start)  a model's process would listen on the network
├── NoProcesses         (at start)  there are none for models
├── NoSlot              503         there is no process for one more model
└── SlotNotBack         503         a process that ended did not come back in time
SlotEnded                           the process ended while it was asked
SlotHung                            it did not answer within the patience
ModelRaised                         the model's own code raised there
"""

from __future__ import annotations

from service.errors import ServiceError


class NotPrivate(ServiceError):
    """Isolated models answer over private Unix sockets or not at all."""

    def __init__(self) -> None:
        super().__init__(
            "BENTOML_NO_UDS is set: models in processes of their own would listen at ports, where others of this "
            "machine reach them. Start without it, or without TANDEM_ISOLATED (--isolated)."
        )


class NoProcesses(ServiceError):
    """BentoML started no processes for the models."""

    def __init__(self) -> None:
        super().__init__(
            "TANDEM_ISOLATED (--isolated): there are no processes for the models. `bentoml serve --development` makes "
            "none; start without it."
        )


class NoSlot(ServiceError):
    """All processes have a model."""

    status = 503

    def __init__(self, tag: str, *, slots: int) -> None:
        super().__init__(
            f"There is no process for {tag}: all {slots} have a model. Unload one, or start the server with more "
            "spare ones (TANDEM_SPARE_PROCESSES, --spare-processes)."
        )
        self.tag, self.slots = tag, slots


class SlotNotBack(ServiceError):
    """No process could be had for a model in time."""

    status = 503

    def __init__(self, tag: str, *, within_s: float) -> None:
        super().__init__(f"No process for {tag} came up within {within_s:g} s.")
        self.tag, self.within_s = tag, within_s


class SlotEnded(Exception):
    """The process ended, or the connection to it did."""

    def __init__(self, pid: int, *, how: str) -> None:
        super().__init__(f"process {pid} {how}")
        self.pid, self.how = pid, how


class SlotHung(SlotEnded):
    """The process did not answer in time, and was killed."""

    def __init__(self, pid: int, *, patience_s: float) -> None:
        super().__init__(pid, how=f"did not answer within {patience_s:.0f} s and was killed")
        self.patience_s = patience_s


class ModelRaised(Exception):
    """What the model's own code raised in its process; the class has the name of what was raised."""

    @classmethod
    def of(cls, kind: str, message: str) -> ModelRaised:
        named: type[ModelRaised] = type(kind, (cls,), {})
        return named(message)
