"""The keys that count now: the file's, read again whenever it has changed."""

from __future__ import annotations

import hmac
import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from service.door.errors import KeyFileInvalid
from service.door.key import Key
from service.door.key_file import hash_key, now, read_key_file

log = logging.getLogger("bentoml.tandem")

#: Between two looks at the file.
LOOK_EVERY_S = 0.5


class KeyRing:
    """Finds a caller by his key. Costs a hash and a comparison for each key; the file is read by a thread of its own.

    A file that has become unreadable changes nothing: those before still count, and the log says so once.

    Raises:
        KeyFileInvalid: there is nothing to begin with.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._seen = path, look(path)
        self._keys = self._read()
        self._ending = threading.Event()

    def watch(self) -> None:
        """Look at the file again and again from now on, until `close`."""
        threading.Thread(target=self._work, name="keys", daemon=True).start()

    def close(self) -> None:
        self._ending.set()

    def find(self, presented: str, *, at: Callable[[], datetime] = now) -> Key | None:
        """Whose key that is; None where it is nobody's, or was somebody's until it ran out."""
        digest, found = hash_key(presented), None
        for stored, key in self._keys:  # all of them, always: how long it takes tells nothing
            if hmac.compare_digest(stored, digest):
                found = key
        return None if found is not None and found.expires is not None and found.expires <= at() else found

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        seen = look(self.path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = self._read()
        except KeyFileInvalid as error:
            log.error("the keys from before still count: %s", error)
        else:
            log.info("keys read again: %d of them", len(self._keys))

    def _work(self) -> None:
        while not self._ending.wait(LOOK_EVERY_S):
            try:
                self.refresh()
            except Exception:  # or a key that is taken away would count for as long as the server runs
                log.exception("the file of keys could not be looked at")

    def _read(self) -> list[tuple[str, Key]]:
        return [(stored.sha256, stored.as_key()) for stored in read_key_file(self.path).keys]


def look(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever the file does; None where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
