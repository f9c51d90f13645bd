"""Is there room for one more model in this process's memory?"""

from __future__ import annotations

from models.artifact import model_files
from models.free_memory import free_memory
from models.load import Described
from service.lanes.errors import TooLittleMemory

#: What a loaded model takes, in sizes of its largest file: the runtime's own copy of the weights, and its arena.
TIMES_LARGEST_FILE = 2


def check_room(described: Described, *, keep_free_bytes: int) -> None:
    """Refuse a model that would not leave so much memory free.

    An estimate by its largest file. An operator's own class has none, and only what is free now is looked at.

    Raises:
        TooLittleMemory: says what it takes, and what is free.
    """
    folder = described.folder
    largest = max((path.stat().st_size for path in model_files(folder)), default=0) if folder else 0
    needs, known = largest * TIMES_LARGEST_FILE, free_memory()
    if known is not None and known[0] - needs < keep_free_bytes:
        raise TooLittleMemory(described.tag, needs_bytes=needs, free_bytes=known[0], keep_bytes=keep_free_bytes)
