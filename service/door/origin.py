"""Whence a request comes: its Host, its Origin and what the browser says of the page that made it.

A server on loopback without keys is still within reach of every page that its user opens: a page may send requests
to 127.0.0.1 (told by Origin and Sec-Fetch-Site), and a name of its own may be made to lead there (DNS rebinding, told
by Host).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from service.door.errors import HostRefused, OriginRefused

NETLOC = re.compile(r"(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
ORIGIN = re.compile(r"(?P<scheme>https?)://" + NETLOC.pattern)
PORTS = {"http": "80", "https": "443"}


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address. A name is none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def check_host(host: str, allowed: Sequence[str]) -> None:
    """Let localhost, loopback addresses and the allowed names through.

    Raises:
        HostRefused: another one, or none that can be read.
    """
    found = NETLOC.fullmatch(host.lower())
    name = found["host"].removesuffix(".") if found else ""
    if not (name == "localhost" or name in allowed or is_loopback(name.strip("[]"))):
        raise HostRefused(host)


def check_origin(headers: Mapping[bytes, bytes], allowed: Sequence[str], *, to_page: bool) -> str:
    """Let a request through that no page from elsewhere has made.

    Args:
        headers: of the request.
        allowed: origins from elsewhere that may ask.
        to_page: whether the request is one that a link may lead to: a page for everybody.

    Returns:
        The origin from the list that asks; empty for all others.

    Raises:
        OriginRefused: another origin, or none that can be read.
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    if origin in allowed:
        return origin
    if origin:
        parts = ORIGIN.fullmatch(origin.lower())
        own = NETLOC.fullmatch(headers.get(b"host", b"").decode("latin-1").lower())
        if not (parts and own and parts["host"] == own["host"] and port_of(parts) == (own["port"] or port_of(parts))):
            raise OriginRefused(origin)
    site = headers.get(b"sec-fetch-site", b"none")
    if site not in {b"none", b"same-origin"} and not (to_page and headers.get(b"sec-fetch-mode") == b"navigate"):
        raise OriginRefused(origin or site.decode("latin-1"))
    return ""


def port_of(origin: re.Match[str]) -> str:
    return origin["port"] or PORTS[origin["scheme"]]


def read_origin(text: str) -> str:
    """An origin of the operator's, as browsers send it.

    Raises:
        ValueError: it is none.
    """
    origin = text.lower().rstrip("/")
    parts = ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError("origins between commas, such as https://app.example.com")
    return origin.removesuffix(f":{PORTS[parts['scheme']]}")
