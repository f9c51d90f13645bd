"""Which machine a name means, and whether it is one that rows may be read from."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from service.door.fetch.errors import FetchRefused, FetchUnreadable
from service.door.fetch.prefix import Place

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
#: Of one name; of the others nothing is expected where these do not answer.
MOST_ADDRESSES = 4
NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_open(address: Address) -> bool:
    """Whether an address is one of the internet's: none of this machine, this network, a cloud's metadata, or a way
    round to one of those."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_open(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or any(address in net for net in NAT64):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def names_itself(place: Place) -> bool:
    """Whether a prefix names a machine rather than a name that may come to mean any: an address, or localhost."""
    try:
        ipaddress.ip_address(place.host)
    except ValueError:
        return place.host == "localhost"
    return True


async def resolve(place: Place, *, listed: Place) -> list[str]:
    """The addresses to connect to: looked up once, checked, and used as they are, so that no second answer counts.

    Args:
        place: what is read.
        listed: the operator's prefix that holds it: a private address that it names itself is meant.

    Raises:
        FetchRefused: one of the addresses is not open.
        FetchUnreadable: there is none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError):
        raise FetchUnreadable("its host is not known") from None
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    if not addresses:
        raise FetchUnreadable("its host is not known")
    if not names_itself(listed) and not all(is_open(ipaddress.ip_address(one.partition("%")[0])) for one in addresses):
        raise FetchRefused("its host is not on the open internet")
    return list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
