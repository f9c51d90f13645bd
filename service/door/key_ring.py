"""The keys that count now: the file's, read again whenever it has changed."""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from service.door.errors import KeyFileInvalid
from service.door.key import Key
from service.door.key_file import hash_key, now, read_key_file

log = logging.getLogger("bentoml.tandem")

#: The file is looked at so often at most.
LOOK_EVERY_S = 0.5


class KeyRing:
    """Finds a caller by his key. Costs a hash, a comparison for each key, and now and then a look at the file.

    A file that has become unreadable changes nothing: those before still count, and the log says so once.

    Raises:
        KeyFileInvalid: there is nothing to begin with.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._seen, self._looked = self._look(), clock()
        self._keys = self._read()

    def find(self, presented: str, *, at: Callable[[], datetime] = now) -> Key | None:
        """Whose key that is; None where it is nobody's, or was somebody's until it ran out."""
        self._refresh()
        digest, found = hash_key(presented), None
        for stored, key in self._keys:  # all of them, always: how long it takes tells nothing
            if hmac.compare_digest(stored, digest):
                found = key
        return None if found is not None and found.expires is not None and found.expires <= at() else found

    def _refresh(self) -> None:
        if self._clock() - self._looked < LOOK_EVERY_S:
            return
        seen, self._looked = self._look(), self._clock()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = self._read()
        except KeyFileInvalid as error:
            log.error("the keys from before still count: %s", error)
        else:
            log.info("keys read again: %d of them", len(self._keys))

    def _read(self) -> list[tuple[str, Key]]:
        return [(stored.sha256, stored.as_key()) for stored in read_key_file(self.path).keys]

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
