"""moto's S3, a mock that is strict in parts, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Ends with its stdin, so that it never outlives the tests; at once, for it would wait for every client that keeps its
# connection open.
_MOTO = """
import os
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def serving_moto(folder: Path, **settings: str) -> Iterator[str]:
    """The endpoint url of a server on a free port that lets everybody in; it remembers nothing afterwards.

    Args:
        folder: for its log.
        settings: moto's own, as environment variables.
    """
    log = folder / "log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-c", _MOTO],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = server.stdout.readline().strip().decode()
        assert port, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()  # it keeps nothing, and has once not heard within 20 s that its stdin ended
        server.wait(timeout=20)
        server.stdin.close()
        server.stdout.close()
