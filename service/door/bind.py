"""Where the server listens, and whether it may: an address that others reach takes keys, however it is started."""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import lru_cache

from service.door.errors import PublicAddress
from service.door.origin import is_loopback
from service.door.settings import DoorSettings


@lru_cache(maxsize=1024)
def is_public(address: str) -> bool:
    """Whether an address may be reached from other machines; a local socket, which is no address, may not."""
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not is_loopback(address)


def refuse_public(host: str, settings: DoorSettings) -> None:
    """Refuse to listen where others reach us while everybody may do everything.

    Args:
        host: an address, or a name, of which only localhost is known to stay on this machine.
        settings: whether there are keys, or none are wanted.

    Raises:
        PublicAddress: says what there is to do.
    """
    if settings.keys is not None or settings.allow_anonymous:
        return
    if host.lower() != "localhost" and not is_loopback(host):
        raise PublicAddress(host)


def refuse_public_sockets(settings: DoorSettings) -> None:
    """The same for the sockets that this process listens at already, whoever opened them for it.

    Raises:
        PublicAddress: one of them is reached by others.
    """
    for address in listening_addresses():
        refuse_public(address, settings)


def listening_addresses() -> list[str]:
    """The addresses of all TCP sockets at which this process listens, inherited ones too; asks /proc."""
    found: list[str] = []
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as listener:
                listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listens and listener.family in {socket.AF_INET, socket.AF_INET6}:
                    found.append(str(listener.getsockname()[0]))
        except OSError:
            continue  # no socket, or closed meanwhile: the folder's own handle is among them
    return found


def host_of_command() -> str:
    """The address that `bentoml serve` was told to listen at, as its supervisor knows it before it opens a socket."""
    import click
    from bentoml._internal.configuration.containers import BentoMLContainer

    context = click.get_current_context(silent=True)
    told = context.params.get("host") if context is not None else None
    return str(told or BentoMLContainer.http.host.get())
