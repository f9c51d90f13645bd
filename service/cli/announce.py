"""One line when the server is ready: where it answers."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

import click

ASK_S = 0.2


def announce_when_ready(host: str, port: int, *, tls: bool) -> None:
    """Ask /readyz in a thread until it says yes, and print the address; without waiting for it."""
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    shown = f"[{host}]" if ":" in host else host

    def wait() -> None:
        while not is_ready(asked, port, tls=tls):
            time.sleep(ASK_S)
        click.echo(f"Tandem answers at {'https' if tls else 'http'}://{shown}:{port} (the page: /ui)")

    threading.Thread(target=wait, name="announce", daemon=True).start()


def is_ready(host: str, port: int, *, tls: bool) -> bool:
    """Whether the server says that it can answer; whose certificate it shows does not matter here."""
    connection = (
        http.client.HTTPSConnection(host, port, timeout=5, context=ssl._create_unverified_context())
        if tls
        else http.client.HTTPConnection(host, port, timeout=5)
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
