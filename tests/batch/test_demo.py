"""The demo runs to its end, and each of its checks can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from batch.demo import demo
from batch.demo.cases import CASES


def test_the_demo_runs_and_says_what_it_found() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "batch.cli.main", "demo"], capture_output=True, text=True, timeout=180
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for case in CASES:
        assert result.stdout.count(f" {case.model} ") >= 2
    assert "445 rows, 0 missing, 0 double" in result.stdout


@pytest.fixture(scope="module")
def environment(s3: str, s3_client: Any) -> Iterator[dict[str, str]]:
    """An S3 with the demo's data."""
    demo.put_data()
    yield dict(os.environ)
    pages = s3_client.get_paginator("list_objects_v2").paginate(Bucket="demo")
    for info in [info for page in pages for info in page.get("Contents", [])]:
        s3_client.delete_object(Bucket="demo", Key=info["Key"])
    s3_client.delete_bucket(Bucket="demo")


def test_an_accuracy_below_the_stated_one_fails_the_demo(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "ALLOWED_DROP", -0.5)
    assert len(demo.run_jobs(environment)) == len(CASES)


def test_a_missing_row_fails_the_demo(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = demo.read_predictions
    monkeypatch.setattr(demo, "read_predictions", lambda output: real(output).slice(1))
    assert any("1 rows missing" in failure for failure in demo.kill_and_resume(CASES[0], environment))
