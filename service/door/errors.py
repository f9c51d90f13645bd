"""What the door says to whom it does not let in.

ServiceError
├── KeyFileInvalid      (at start)  the file of keys is missing or broken
├── PublicAddress       403         (and at start) an address that others reach, and no keys
├── HostRefused         403         a Host that is not this server's
├── OriginRefused       403         a page from elsewhere
├── KeyMissing          401         no key, or none that counts
├── ScopeMissing        403         a key that may not do this
├── TooFast             429         more requests than the key may send
├── NothingHere         404         no operation of that path
├── BodyTooLarge        413         a body beyond the limit, as sent or unpacked
├── TooManyRowsForKey   413         more rows than the key may send at once
├── EncodingUnknown     415         a Content-Encoding that is not unpacked here
├── BodyBroken          400         a body that does not unpack
├── BodyTooSlow         408         a body that hardly comes
└── BodiesFull          503         the bodies of all requests together are at their limit
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from service.errors import ServiceError
from service.operations import Action

#: Said with an answer that leaves a part of the body unread: the connection is of no more use.
CLOSE = {"Connection": "close"}


class KeyFileInvalid(ServiceError):
    """The file of keys cannot be followed."""

    def __init__(self, path: Path, *, why: str) -> None:
        super().__init__(f"the keys of TANDEM_KEYS (--keys), {path}: {why}. Make one with: tandem key add NAME.")
        self.path, self.why = path, why


class PublicAddress(ServiceError):
    """An address that others reach, while everybody may do everything."""

    status = 403  # where it is found out only when a request has come in

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} can be reached from elsewhere, and there are no keys: whoever finds it could do everything. "
            "Make a key (tandem key add NAME --scope predict) and name its file (--keys FILE, TANDEM_KEYS), stay on "
            "127.0.0.1, or say that you mean it (--allow-anonymous, TANDEM_ALLOW_ANONYMOUS=1)."
        )
        self.host = host


class HostRefused(ServiceError):
    """A request whose Host is not a name of this server: another name may be a page's way to a local address."""

    status = 403

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Host: {host[:100]!r} is not a name of this server. Without keys it answers to localhost and what "
            "--allow-host (TANDEM_ALLOW_HOST) names."
        )


class OriginRefused(ServiceError):
    """A request that a page from elsewhere makes."""

    status = 403

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"Origin: {origin[:100]!r} may not ask this server: pages from elsewhere are let in by --cors-origin "
            "(TANDEM_CORS_ORIGIN)."
        )


class KeyMissing(ServiceError):
    """No key, or one that is not known (any more). Which of them is not said."""

    status = 401

    def __init__(self) -> None:
        super().__init__(
            "A key is needed: send a valid one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. "
            "Who runs this server makes it: tandem key add NAME."
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="tandem"', **CLOSE}


class ScopeMissing(ServiceError):
    """A key without the scope that this takes."""

    status = 403

    def __init__(self, name: str, *, action: Action) -> None:
        super().__init__(f"The key {name!r} may not do this: it lacks the scope {action!r}.")
        self.name, self.action = name, action

    @property
    def headers(self) -> Mapping[str, str]:
        return CLOSE


class TooFast(ServiceError):
    """More requests than the key's rate lets in."""

    status = 429

    def __init__(self, name: str, *, rate: str, retry_after_s: int) -> None:
        super().__init__(f"The key {name!r} has had its {rate} requests. Try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_s), **CLOSE}


class NothingHere(ServiceError):
    """A path that nothing is answered at."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Nothing is answered at this path; GET /docs.json lists what is.")

    @property
    def headers(self) -> Mapping[str, str]:
        return CLOSE


class BodyTooLarge(ServiceError):
    """A body larger than this caller may send."""

    status = 413

    def __init__(self, limit_bytes: int, *, unpacked: bool = False) -> None:
        limit = f"{limit_bytes // (1024 * 1024)} MiB (TANDEM_MAX_BODY_MB, or the key's own limit)"
        super().__init__(
            f"body: {'unpacks to more' if unpacked else 'larger'} than {limit}. Send the rows in several requests; "
            "for whole files there is: tandem run."
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return CLOSE


class TooManyRowsForKey(ServiceError):
    """More rows in one request than the key may send."""

    status = 413

    def __init__(self, name: str, *, rows: int, limit: int) -> None:
        super().__init__(f"rows: found {rows} rows; the key {name!r} may send {limit} at once. Send several requests.")
        self.rows, self.limit = rows, limit


class EncodingUnknown(ServiceError):
    """A Content-Encoding that is not unpacked here."""

    status = 415

    def __init__(self, encoding: str) -> None:
        super().__init__(f"Content-Encoding: {encoding[:100]!r} is not unpacked here; send gzip, deflate or none.")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Accept-Encoding": "gzip, deflate", **CLOSE}


class BodyBroken(ServiceError):
    """A body that is not what its Content-Encoding says."""

    status = 400

    def __init__(self, encoding: str, *, why: str) -> None:
        super().__init__(f"body: not {encoding}: {why}")

    @property
    def headers(self) -> Mapping[str, str]:
        return CLOSE


class BodyTooSlow(ServiceError):
    """A body of which hardly anything comes."""

    status = 408

    def __init__(self, *, least_bytes_per_s: int, over_s: int) -> None:
        super().__init__(f"body: came slower than {least_bytes_per_s} bytes a second for {over_s} s.")

    @property
    def headers(self) -> Mapping[str, str]:
        return CLOSE


class BodiesFull(ServiceError):
    """The bodies of all requests together are as large as they may be."""

    status = 503

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The bodies of all requests together are at {limit_bytes // (1024 * 1024)} MiB "
            "(TANDEM_MAX_BODIES_MB). Try again in 1 s."
        )

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1", **CLOSE}
