"""Free memory: of the machine, or of the container that this is."""

from __future__ import annotations

from pathlib import Path


def free_memory(root: Path = Path("/")) -> tuple[int, int] | None:
    """Bytes that are left, and that there are at all; None where the kernel does not say.

    Reads /proc/meminfo and the control group's files (Linux, cgroup v2 or v1) below `root`.
    """
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        left, total = fields["MemAvailable"], fields["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
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
        if limit < total:
            left, total = min(left, limit - used + cached), limit
    return max(left, 0), total
