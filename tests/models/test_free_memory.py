"""Free memory is the machine's, or the container's where that is less."""

from __future__ import annotations

from pathlib import Path

from models.free_memory import free_memory


def put_memory(root: Path, *, total: int, available: int, limit: str | None = None, used: int = 0) -> None:
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc/meminfo").write_text(f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n")
    if limit is not None:
        (root / "sys/fs/cgroup").mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup/memory.max").write_text(f"{limit}\n")
        (root / "sys/fs/cgroup/memory.current").write_text(f"{used}\n")
        (root / "sys/fs/cgroup/memory.stat").write_text("anon 5\ninactive_file 1000\n")


def test_what_is_left_is_the_machines_or_the_containers(tmp_path: Path) -> None:
    put_memory(tmp_path, total=1000, available=400)
    assert free_memory(tmp_path) == (400 << 10, 1000 << 10)
    put_memory(tmp_path, total=1000, available=400, limit="max")
    assert free_memory(tmp_path) == (400 << 10, 1000 << 10)
    put_memory(tmp_path, total=1000, available=400, limit="100000", used=60_000)
    assert free_memory(tmp_path) == (41_000, 100_000)
    put_memory(tmp_path, total=1000, available=400, limit=str(1 << 30), used=60_000)
    assert free_memory(tmp_path) == (400 << 10, 1000 << 10)
    assert free_memory(tmp_path / "nowhere") is None
