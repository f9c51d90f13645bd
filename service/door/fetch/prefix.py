"""Prefix: a place below which addresses in rows may be read, such as `https://images.example.com/public/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PORTS = {"https": 443, "http": 80, "s3": 0}
HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")
PLAIN = re.compile(r"[!-~]+")
LONGEST = 4096
EXPECTED = "https://, http:// or s3:// prefixes between commas, such as https://images.example.com/public/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address, taken apart; the host of s3 is its bucket.

    Attributes:
        path: with its leading slash, as it is sent; it goes up nowhere.
        query: without the question mark.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    def holds(self, other: Place) -> bool:
        """Whether the other is this place, or below it: a prefix ends at a slash, as folders do."""
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        folder = self.path if self.path.endswith("/") else f"{self.path}/"
        return same and (other.path == self.path or other.path.startswith(folder))


def read_place(text: str) -> Place:
    """Take an address apart.

    Raises:
        ValueError: it is none of https, http and s3, or is written so that it may be read in two ways: with a user,
            a fragment, letters that an address has not, or a path that goes up.
    """
    if len(text) > LONGEST or not PLAIN.fullmatch(text) or "\\" in text or "#" in text:
        raise ValueError("it is no plain address")
    parts = urlsplit(text)
    host = (parts.hostname or "").removesuffix(".")
    if parts.scheme not in PORTS or "@" in parts.netloc or not HOST.fullmatch(host):
        raise ValueError("it is no plain address of https, http or s3")
    if parts.scheme == "s3" and (parts.port is not None or parts.query):
        raise ValueError("an object in s3 has no port and no query")
    if any(step in {".", ".."} for step in unquote(parts.path).replace("\\", "/").split("/")):
        raise ValueError("its path goes up")
    return Place(
        scheme=parts.scheme,
        host=host,
        port=parts.port or PORTS[parts.scheme],
        path=parts.path or "/",
        query=parts.query,
    )


def read_prefixes(text: str) -> tuple[Place, ...]:
    """The operator's list.

    Raises:
        ValueError: an entry that is no prefix.
    """
    try:
        found = tuple(read_place(entry.strip()) for entry in text.split(",") if entry.strip())
    except ValueError:
        raise ValueError(EXPECTED) from None
    if any(place.query for place in found):
        raise ValueError(EXPECTED)
    return found
