"""What the operator may say of the door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.door.fetch.prefix import Place, read_prefixes
from service.door.origin import read_origin
from service.setting import Setting, names, whole_number, yes

MIB = 1024 * 1024
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


def read_hosts(text: str) -> tuple[str, ...]:
    """Names of hosts between commas, without ports."""
    found = names(text.lower())
    if not all(HOST.fullmatch(host) for host in found):
        raise ValueError("names of hosts between commas, without ports, such as models.example.com")
    return found


def read_origins(text: str) -> tuple[str, ...]:
    """Origins between commas, as browsers send them."""
    return tuple(read_origin(origin) for origin in names(text))


KEYS = Setting[Path | None](
    variable="TANDEM_KEYS", flag="--keys", read=lambda text: Path(text).expanduser().absolute(), default=None,
    metavar="FILE", help="File of the keys that let callers in (tandem key add). Default: everybody, on loopback only.",
)  # fmt: skip
ALLOW_ANONYMOUS = Setting[bool](
    variable="TANDEM_ALLOW_ANONYMOUS", flag="--allow-anonymous", read=yes, default=False, metavar="",
    help="Let everybody do everything without a key, also on an address that others reach.",
)  # fmt: skip
ALLOW_HOST = Setting[tuple[str, ...]](
    variable="TANDEM_ALLOW_HOST", flag="--allow-host", read=read_hosts, default=(), metavar="NAME,NAME",
    help="Host names that requests may name, besides localhost. Checked without keys, and where any is given.",
)  # fmt: skip
CORS_ORIGIN = Setting[tuple[str, ...]](
    variable="TANDEM_CORS_ORIGIN", flag="--cors-origin", read=read_origins, default=(), metavar="ORIGIN,ORIGIN",
    help="Web pages from elsewhere that may ask, such as https://app.example.com. Default: none.",
)  # fmt: skip
MAX_BODY_MB = Setting[int](
    variable="TANDEM_MAX_BODY_MB", flag="--max-body-mb", read=whole_number(1, 1024), default=16, metavar="MIB",
    help="Largest body of one request, unpacked. A key may have a limit of its own.",
)  # fmt: skip
MAX_BODIES_MB = Setting[int](
    variable="TANDEM_MAX_BODIES_MB", flag="--max-bodies-mb", read=whole_number(1, 1024 * 1024), default=512,
    metavar="MIB", help="The bodies of all requests together; beyond it requests are answered 503.",
)  # fmt: skip
MAX_CONNECTIONS = Setting[int](
    variable="TANDEM_MAX_CONNECTIONS", flag="--max-connections", read=whole_number(1, 1_000_000), default=4096,
    metavar="N", help="Open connections; beyond it the one that has kept a request waiting for longest is closed.",
)  # fmt: skip
HEADER_TIMEOUT_S = Setting[int](
    variable="TANDEM_HEADER_TIMEOUT_S", flag="--header-timeout", read=whole_number(1, 3600), default=10,
    metavar="SECONDS", help="A connection whose request line and headers take longer is closed.",
)  # fmt: skip
BODY_TIMEOUT_S = Setting[int](
    variable="TANDEM_BODY_TIMEOUT_S", flag="--body-timeout", read=whole_number(1, 3600), default=30,
    metavar="SECONDS", help="A body that comes slower than 4 KiB a second for so long is answered 408.",
)  # fmt: skip
ALLOW_URL = Setting[tuple[Place, ...]](
    variable="TANDEM_ALLOW_URL", flag="--allow-url", read=read_prefixes, default=(), metavar="PREFIX,PREFIX",
    help='Where images that rows name by {"uri": ...} may be read: https:// and s3:// prefixes. Default: nowhere.',
)  # fmt: skip
AUDIT_LOG = Setting[str](
    variable="TANDEM_AUDIT_LOG", flag="--audit-log", read=str, default="", metavar="FILE|-",
    help="File for the audit lines, predictions included; - is the server's log. Default: there, without predictions.",
)  # fmt: skip
DOOR = (
    KEYS, ALLOW_ANONYMOUS, ALLOW_HOST, CORS_ORIGIN, MAX_BODY_MB, MAX_BODIES_MB, MAX_CONNECTIONS, HEADER_TIMEOUT_S,
    BODY_TIMEOUT_S, ALLOW_URL, AUDIT_LOG,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """Who may come in, and with how much.

    Attributes:
        keys: the file of keys; None: everybody may do everything.
        allow_anonymous: also on an address that others reach.
        allow_hosts: names that a request's Host may have, besides localhost.
        cors_origins: pages from elsewhere that may ask.
        max_body_bytes: of one request, unpacked.
        max_bodies_bytes: of all requests together.
        max_connections: that are open.
        header_timeout_s: until a request's headers are there.
        body_timeout_s: over which a body has to come at 4 KiB a second.
        allow_urls: below which addresses in rows may be read.
        audit_log: a file, `-`, or empty.
    """

    keys: Path | None = None
    allow_anonymous: bool = False
    allow_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = MAX_BODY_MB.default * MIB
    max_bodies_bytes: int = MAX_BODIES_MB.default * MIB
    max_connections: int = MAX_CONNECTIONS.default
    header_timeout_s: int = HEADER_TIMEOUT_S.default
    body_timeout_s: int = BODY_TIMEOUT_S.default
    allow_urls: tuple[Place, ...] = ()
    audit_log: str = ""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> DoorSettings:
        return cls(
            keys=KEYS.of(environ),
            allow_anonymous=ALLOW_ANONYMOUS.of(environ),
            allow_hosts=ALLOW_HOST.of(environ),
            cors_origins=CORS_ORIGIN.of(environ),
            max_body_bytes=MAX_BODY_MB.of(environ) * MIB,
            max_bodies_bytes=MAX_BODIES_MB.of(environ) * MIB,
            max_connections=MAX_CONNECTIONS.of(environ),
            header_timeout_s=HEADER_TIMEOUT_S.of(environ),
            body_timeout_s=BODY_TIMEOUT_S.of(environ),
            allow_urls=ALLOW_URL.of(environ),
            audit_log=AUDIT_LOG.of(environ),
        )
