"""Real runs of a job are killed, ended, paused and raced at random moments: nothing is lost, and nothing there twice.

Ten cases, of every kind one; `make chaos` plays 300. A case that fails names its seed, with which it is played again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cases import KINDS, draw_case
from tests.chaos.play import Reference, measure, play

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST = int(os.environ["CHAOS_SEED"])  # drawn by tests/conftest.py where it is not given
SEEDS = range(FIRST, FIRST + int(os.environ.get("CHAOS_RUNS") or len(KINDS)))


@pytest.fixture(scope="module")
def reference(s3: str, s3_client: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return measure(s3_client, s3, tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("seed", SEEDS, ids=[f"CHAOS_SEED={seed}" for seed in SEEDS])
def test_nothing_is_lost_and_nothing_twice(
    seed: int, reference: Reference, s3: str, s3_client: S3Client, tmp_path: Path
) -> None:
    play(draw_case(seed), reference, s3_client, s3, tmp_path)


def test_a_seed_is_a_case_and_ten_in_a_row_are_of_every_kind() -> None:
    assert draw_case(FIRST) == draw_case(FIRST)
    assert {draw_case(FIRST + number).kind for number in range(len(KINDS))} == set(KINDS)
