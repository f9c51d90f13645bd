"""A job gets its share of what the container may use, not of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.jobs.processors import count_processors, has_quota, quota_of


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu.max": "max 100000\n"}, 1e6),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1e6),
        ({}, 1e6),
    ],
)
def test_a_quota_is_read_as_either_version_writes_it(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota_of(tmp_path) == quota
    assert has_quota(tmp_path) == (quota < len(os.sched_getaffinity(0)))
    assert 1 <= count_processors(tmp_path) <= max(1, min(quota, len(os.sched_getaffinity(0))))
