"""Scratch: a part on its way lies in a file without a name, so that whoever is killed leaves nothing on the disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_scratch() -> Iterator[Path]:
    """The path, in this process only, of an empty file in TMPDIR; the kernel frees it when the process is gone."""
    with tempfile.TemporaryFile(prefix="tandem-") as file:
        yield Path(f"/proc/self/fd/{file.fileno()}")
