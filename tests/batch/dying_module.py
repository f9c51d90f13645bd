"""A module that no process but a test's own outlives the import of."""

from __future__ import annotations

import multiprocessing
import os

if getattr(multiprocessing.current_process(), "_inheriting", False):  # while it is being started
    os._exit(7)


def body(*_: object) -> None:
    """Never reached."""
