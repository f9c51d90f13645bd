"""Can the server listen there? Asked before anything is loaded, and said with the flag that it was asked with."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path

import click


class CannotListen(click.ClickException):
    """An address, port or certificate that the server cannot have."""

    exit_code = 2


def read_host(host: str) -> str:
    """The address of `--host`.

    Raises:
        CannotListen: it is none.
    """
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host))
    except ValueError:
        raise CannotListen(
            f"--host={host!r}: expected an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::1."
        ) from None


def check_free(host: str, port: int) -> None:
    """Bind the port once, and let go of it.

    Raises:
        CannotListen: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
            tried.listen(1)
        except PermissionError:
            raise CannotListen(f"--port={port}: this user may not listen there; take a port above 1023.") from None
        except OSError as error:
            import errno

            if error.errno == errno.EADDRINUSE:
                why = f"--port={port}: something listens at {host} port {port} already. End it, or take another port."
            elif error.errno == errno.EADDRNOTAVAIL:
                why = f"--host={host!r}: this machine has no such address."
            else:
                why = f"--host={host!r} --port={port}: {(error.strerror or str(error)).lower()}."
            raise CannotListen(why) from None


def check_certificate(certificate: Path | None, key: Path | None) -> dict[str, str]:
    """The two files as BentoML takes them; nothing where there is no certificate.

    Raises:
        CannotListen: one without the other, one that cannot be read, or two that do not belong together.
    """
    if certificate is None and key is None:
        return {}
    if certificate is None or key is None:
        there, lacks = (
            ("--ssl-keyfile", "--ssl-certfile") if certificate is None else ("--ssl-certfile", "--ssl-keyfile")
        )
        raise CannotListen(f"{there}: {lacks} is missing; TLS takes both.")
    for flag, path in (("--ssl-certfile", certificate), ("--ssl-keyfile", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise CannotListen(f"{flag}={str(path)!r}: {(error.strerror or 'cannot be read').lower()}.") from None
    try:
        # With a password given, OpenSSL asks nobody for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        said = getattr(error, "reason", None) or str(error)
        raise CannotListen(f"--ssl-certfile={str(certificate)!r}, --ssl-keyfile={str(key)!r}: {said}.") from None
    return {"ssl_certfile": str(certificate.absolute()), "ssl_keyfile": str(key.absolute())}
