"""Is there room for one more model in this process's memory?"""

from __future__ import annotations

from pathlib import Path

from models.artifact import model_files
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
    needs, free = largest * TIMES_LARGEST_FILE, free_memory()
    if free is not None and free - needs < keep_free_bytes:
        raise TooLittleMemory(described.tag, needs_bytes=needs, free_bytes=free, keep_bytes=keep_free_bytes)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that the machine, or the container that this is, has left; None where the kernel does not say."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        left = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    for folder, limit_name, used_name in (
        ("sys/fs/cgroup", "memory.max", "memory.current"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            limit = int((root / folder / limit_name).read_text(encoding="ascii"))  # "max" is no number
            used = int((root / folder / used_name).read_text(encoding="ascii"))
            stat = (root / folder / "memory.stat").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        # What is cached of files is given back when it is asked for.
        cached = next((int(line.split()[1]) for line in stat if line.startswith("inactive_file ")), 0)
        left = min(left, limit - used + cached)
    return max(left, 0)
