"""Nobody is convicted who did nothing: what comes from outside, from the model, or once."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from batch.errors import Interrupted
from tests.batch.command import ended, started
from tests.batch.hurting_jobs import (
    PATIENCE_S,
    assert_ended_well,
    assert_isolated,
    command,
    finished,
    put_rows,
    run,
    wait_for,
    working,
)
from tests.batch.places import Folder, part_keys, put_table

pytestmark = pytest.mark.usefixtures("calls")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_row_that_fails_once_is_no_poison(folder: Folder, workers: str) -> None:
    put_rows(folder, 400, {40: "dies once", 350: "dies once"}, files=2)
    end = finished(*command(folder, "--workers", workers))
    assert_ended_well(end, 400, 0)
    assert_isolated(folder, 400, {})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_process_that_is_stopped_convicts_nobody(folder: Folder, workers: str) -> None:
    put_rows(folder, 400, {40: "stops once"}, files=2)
    end = finished(*command(folder, "--workers", workers))
    assert_ended_well(end, 400, 0)
    assert_isolated(folder, 400, {})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_process_that_is_killed_from_outside_convicts_nobody(folder: Folder, calls: Path, workers: str) -> None:
    put_rows(folder, 600, dict.fromkeys(range(600), "sleeps"), files=6)
    with started(*command(folder, "--workers", workers, "--shard-mb", "0.0001")) as process:
        wait_for(calls)
        os.kill(working(process.pid)[0].pid, signal.SIGKILL)
        end = ended(process, within_s=PATIENCE_S)
    assert_ended_well(end, 600, 0)
    assert len(part_keys(folder)) == 6


@pytest.mark.parametrize(("deed", "workers"), [("sleeps", "1"), ("holds the interpreter", "2")])
def test_when_the_command_is_killed_nobody_works_on(folder: Folder, calls: Path, deed: str, workers: str) -> None:
    put_rows(folder, 600, dict.fromkeys(range(600), deed), files=4)
    with started(*command(folder, "--workers", workers)) as process:
        wait_for(calls)
        left = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(left, timeout=5)
    assert alive == []


@pytest.mark.parametrize("nulls", [(), (0,), (*range(18), *range(19, 40))])
def test_a_model_that_ends_at_every_row_convicts_none(folder: Folder, nulls: Sequence[int]) -> None:
    """A null passes without the model, and shows nothing of it."""
    texts = [None if row in nulls else f"{row} is fine" for row in range(41)]
    put_table(folder, "in/a.parquet", pa.table({"id": range(41), "text": texts}))
    with pytest.raises(Interrupted, match="none passed"):
        run(folder, model="DyingModel")
    assert part_keys(folder) == []


@pytest.mark.parametrize(("model", "others", "poison"), [("HurtingModel", 10, 4), ("AnyText", 0, 2)])
def test_a_shard_that_the_model_is_shown_nothing_else_of_than_poison_is_finished(
    folder: Folder, model: str, others: int, poison: int
) -> None:
    """Rows of another shard tell that it is not the model, or samples that come along."""
    hurting = dict.fromkeys(range(poison), "segfaults")
    for shard, numbers in enumerate((range(poison), range(poison, poison + others))):
        if numbers:
            texts = [f"{number} {hurting.get(number, 'is fine')}" for number in numbers]
            put_table(folder, f"in/p={shard}/a.parquet", pa.table({"id": numbers, "text": texts}))
    assert run(folder, model=model)["errors"] == {"WorkerDied": poison}
    assert_isolated(folder, poison + others, hurting)


def test_a_model_that_ends_at_every_row_convicts_none_of_shards_of_one_row(folder: Folder) -> None:
    put_rows(folder, 3, {}, files=3)
    with pytest.raises(Interrupted, match="none passed"):
        run(folder, model="DyingModel")
    assert part_keys(folder) == []
