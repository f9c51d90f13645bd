"""Whether there is room for one more model."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.load import describe_tag
from service.lanes.errors import TooLittleMemory
from service.lanes.room import check_room, free_memory


def test_a_model_that_would_leave_too_little_memory_is_refused_with_what_it_takes() -> None:
    described = describe_tag("bbc-bert")
    check_room(described, keep_free_bytes=0)
    with pytest.raises(TooLittleMemory, match=r"was not loaded: it takes about .* must stay so"):
        check_room(described, keep_free_bytes=1 << 62)


@pytest.mark.parametrize(("limit", "left"), [("max", 8 << 20), (str(6 << 20), 3 << 20), (str(64 << 20), 8 << 20)])
def test_the_memory_that_is_free_is_the_containers_where_that_is_less(tmp_path: Path, limit: str, left: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 16384 kB\nMemAvailable: 8192 kB\n")
    cgroup = tmp_path / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "memory.max").write_text(limit)
    (cgroup / "memory.current").write_text(str(4 << 20))
    (cgroup / "memory.stat").write_text(f"inactive_file {1 << 20}\n")
    assert free_memory(tmp_path) == left
