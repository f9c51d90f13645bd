"""The supervisor: BentoML's own, made private, orderly and bounded.

BentoML starts its processes by circus. As it comes, circus is commanded over two TCP ports of the machine, by whoever
is on it; looks after its processes every ten seconds; ends all of them at once, so that a model's process may be gone
before the requests are answered; and waits for a day until it kills one that does not end. Here it is commanded over a
socket in a private folder, looks twice a second, ends the entry before what that depends on, and kills what has not
ended within the operator's bound.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.supervise.ends import VARIABLE, describe_end, write_end
from service.supervise.settings import SuperviseSettings
from service.supervise.worker import describe_supervisor

log = logging.getLogger("bentoml.tandem")

#: What BentoML calls the watcher of the entry service, and its socket.
ENTRY, ENTRY_SOCKET = "service", "_bento_api_server"
CHECK_S = 0.5
#: From the signal to the entry until its port refuses connections: its process has let go of the socket by then.
REFUSE_AFTER_S = 1.0
#: For what the entry depends on, once nobody asks it any more.
REST_S = 2.0


def supervise_orderly(settings: SuperviseSettings) -> None:
    """Have BentoML, in this process, supervise as it is said above. Called when the service's module is imported:
    after that BentoML makes its arbiter.

    A supervisor that runs in a thread (`bentoml.serve` from Python) stays BentoML's own.
    """
    from bentoml._internal.utils import circus

    theirs: Any = circus
    make_theirs: Callable[..., Any] = theirs.create_standalone_arbiter
    if make_theirs.__module__ == __name__:
        return

    def create_standalone_arbiter(watchers: list[Any], *, threaded: bool = False, **options: Any) -> Any:
        if threaded:
            return make_theirs(watchers, threaded=True, **options)
        return make_arbiter(watchers, settings, **options)

    theirs.create_standalone_arbiter = create_standalone_arbiter


def make_arbiter(watchers: list[Any], settings: SuperviseSettings, **options: Any) -> Any:
    """An arbiter of BentoML's watchers; its private folder is removed when it has ended."""
    from bentoml._internal.utils.circus import Arbiter
    from tornado import gen

    class OrderlyArbiter(Arbiter):
        """Ends the entry first, then the rest; tells how each process ended."""

        def __init__(self, folder: Path) -> None:
            at = {"endpoint": f"ipc://{folder}/control", "pubsub_endpoint": f"ipc://{folder}/events"}
            super().__init__(watchers, check_delay=CHECK_S, **at, **options)
            self.ctrl.sys_hdl.quit = lambda: self.loop.add_callback_from_signal(self.end_soon)
            self.is_asked = False

        def end_soon(self) -> None:
            """End, once what circus does at the moment is done: asked meanwhile, it would refuse."""
            if self._exclusive_running_command is not None:
                self.loop.call_later(0.05, self.end_soon)
            elif not self.is_asked:
                self.is_asked = True
                self.stop()

        def start(self, cb: Callable[[Any], Any] | None = None) -> None:
            with self.exit_stack:  # BentoML leaves it when ending begins, and takes the sockets away too soon
                super().start(cb)

        def stop(self) -> Any:
            return super(Arbiter, self).stop()  # BentoML's own leaves the exit stack here

        @gen.coroutine
        def _stop_watchers(self, close_output_streams: bool = False, watcher_iter_func: Any = None) -> Any:
            every = list(self.iter_watchers(reverse=False))
            self.loop.call_later(REFUSE_AFTER_S, self.refuse_connections)
            yield [one._stop(close_output_streams) for one in every if one.name == ENTRY]
            yield [one._stop(close_output_streams) for one in every if one.name != ENTRY]

        def manage_watchers(self) -> Any:
            """Look after the processes, unless something else is being done with them, such as starting them all."""
            return super().manage_watchers() if self._exclusive_running_command is None else None

        def refuse_connections(self) -> None:
            """Whoever comes now is told so by the kernel, instead of waiting for an answer that nobody will give."""
            with contextlib.suppress(OSError, KeyError):
                self.sockets[ENTRY_SOCKET].shutdown(socket.SHUT_RDWR)

    folder = Path(tempfile.mkdtemp(prefix="tandem-"))  # 0700: nobody else commands
    for watcher in watchers:
        watcher.env = {**(watcher.env or {}), VARIABLE: str(folder), **describe_supervisor()}
        is_entry = watcher.name == ENTRY
        watcher.graceful_timeout = settings.stop_timeout_s if is_entry else REST_S
        watcher.stop_signal = signal.SIGTERM if is_entry else signal.SIGKILL  # what the rest holds can be had again
        watcher.respawn = watcher.respawn or not is_entry
        watcher.reap_process = told_of_ends(watcher, folder)
        watcher.manage_processes = told_of_the_missing(watcher)
    arbiter = OrderlyArbiter(folder)
    arbiter.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return arbiter


def told_of_ends(watcher: Any, folder: Path) -> Callable[..., Any]:
    """The watcher's own way to forget a process that has ended, which tells how that ended."""
    forget: Callable[..., Any] = watcher.reap_process

    def reap_process(pid: int, status: int | None = None) -> Any:
        if status is not None and pid in watcher.processes:
            with contextlib.suppress(OSError):
                write_end(folder, pid, status)
            if not watcher.is_stopping():
                said = "another is started" if watcher.respawn else "the server ends"
                log.warning("process of %s %s; %s", watcher.name, describe_end(status), said)
        return forget(pid, status)

    return reap_process


def told_of_the_missing(watcher: Any) -> Callable[..., Any]:
    """The watcher's own way to replace what is missing, which tells how that ended.

    It would forget a process of which only the first thread has ended, and the handle, once nobody keeps it, takes
    the end for itself: such a process is kept until it can be told.
    """
    from tornado import gen

    replace_missing: Callable[..., Any] = watcher.manage_processes

    @gen.coroutine
    def manage_processes() -> Any:
        known = dict(watcher.processes)
        yield replace_missing()
        for pid, process in known.items():
            if pid not in watcher.processes:
                with contextlib.suppress(ChildProcessError):  # whoever ended it has waited for it
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    if ended or not watcher.is_stopped():  # nobody looks after what a stopped one keeps
                        watcher.processes[pid] = process
                    if ended:
                        watcher.reap_process(pid, status)

    return manage_processes
