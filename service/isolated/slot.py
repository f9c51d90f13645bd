"""Slot: one model's process as the gateway sees it: asked over its socket, killed where it does not answer."""

from __future__ import annotations

import contextlib
import http.client
import os
import pickle
import signal
import socket
import threading
import time
from pathlib import Path

from service.isolated.errors import SlotEnded, SlotHung
from service.isolated.messages import Hello, Question, Said
from service.supervise.ends import read_end

#: Until a process says hello; one that is being replaced, or whose model holds the interpreter, does not.
HELLO_S = 1.0
#: Until the supervisor has said how a process ended.
NOTICE_S = 10.0
#: For so long a connection is used again: the process closes those over which nothing came for 5 s, which would look
#: as if it had ended.
KEPT_S = 2.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        super().__init__("slot", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Slot:
    """One process, whichever runs at the socket now. Used by one thread at a time.

    Args:
        name, path: of its socket, which the supervisor keeps while processes come and go.
        ends: the folder in which the supervisor writes how they ended, where it does.
    """

    def __init__(self, name: str, path: str, *, ends: Path | None) -> None:
        self.name, self._path, self._ends = name, path, ends
        self._connection: UnixConnection | None = None
        self._used = 0.0
        self._pid = 0
        self._handle: int | None = None
        self._handling = threading.Lock()  # a handle's number may be another's as soon as it is closed

    @property
    def pid(self) -> int:
        """Of the process that was spoken to last."""
        return self._pid

    def hello(self) -> Hello | None:
        """Who runs there now; None where nobody says so within a second. Every talk with a new process begins here."""
        self.hang_up()
        connection = UnixConnection(self._path, timeout_s=HELLO_S)
        try:
            connection.request("GET", "/")
            said = pickle.loads(connection.getresponse().read())
            assert isinstance(said, Hello)
            self._pid, self._handle = said.pid, os.pidfd_open(said.pid)
        except (OSError, http.client.HTTPException, EOFError):
            connection.close()
            return None
        self._connection, self._used = connection, time.monotonic()
        return said

    def ask(self, question: Question, *, patience_s: float) -> Said:
        """Ask the process that said hello, or another that took its place in a pause; blocks.

        Raises:
            SlotEnded: it ended.
            SlotHung: it did not answer in time, and was killed.
        """
        connection = self._connection
        if connection is None:
            raise SlotEnded(self._pid, how="is not connected")
        if time.monotonic() - self._used > KEPT_S:
            connection.close()  # the request opens it again
        connection.timeout = patience_s
        if connection.sock is not None:
            connection.sock.settimeout(patience_s)
        try:
            connection.request("POST", "/", pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
            said: Said = pickle.loads(connection.getresponse().read())
        except TimeoutError:
            self.kill()
            raise SlotHung(self._pid, patience_s=patience_s) from None
        except (OSError, http.client.HTTPException, EOFError):
            pid = self._pid
            self.kill()  # it may be half alive: nobody speaks to it again
            how = "ended" if self._ends is None else read_end(self._ends, pid, within_s=NOTICE_S)
            raise SlotEnded(pid, how=how) from None
        self._used = time.monotonic()
        return said

    def kill(self) -> None:
        """End the process, and speak to it no more."""
        self.end()
        self.hang_up()

    def end(self) -> None:
        """End the process, whatever it does; by its handle, so that no other process of that number is hit.

        The one thing that another thread may do meanwhile.
        """
        with self._handling:
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with self._handling:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
