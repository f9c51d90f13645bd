"""A job that is killed at random moments, again and again, moves readers of its table once, from all to all."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack

import pyarrow as pa
import pytest

from tests.batch.command import job, started
from tests.batch.places import Bucket, put_table, texts
from tests.batch.table.models import CONTRARY
from tests.batch.table.tables import opened, reading, rows, run
from tests.fault_proxy import FaultProxy

ROWS = 60
#: `TABLE_SEEDS=40 pytest tests/batch/table/test_killed.py` plays more of them.
SEEDS = int(os.environ.get("TABLE_SEEDS", "1"))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_random_a_job_moves_readers_once(s3_place: Bucket, proxy: FaultProxy, seed: int) -> None:
    chance, seen = random.Random(seed), list[pa.Table]()
    for number in range(3):
        put_table(s3_place, f"in/{number}.parquet", texts(ROWS // 3, first=number * ROWS // 3), row_group_size=10)
    run(s3_place, endpoint_url=proxy.url, shard_mb=0.0001)
    requests = len(proxy.seen)
    words = ("--table", "delta", "--shard-mb", "0.0001", "--endpoint-url", proxy.url)
    with reading(s3_place, seen):
        for _ in range(3):
            before, runs = len(proxy.seen), chance.choice([1, 2])
            with ExitStack() as processes:
                for _ in range(runs):
                    process = processes.enter_context(started(*job(s3_place, *words, model=CONTRARY)))
                blow = before + chance.randrange(runs * requests)
                while len(proxy.seen) < blow and process.poll() is None:
                    time.sleep(0.002)
                process.kill()  # and the other one, a little later
        run(s3_place, CONTRARY, shard_mb=0.0001)
    assert opened(s3_place).version() == 1
    before_it, after_it = (rows(s3_place, version=version) for version in (0, 1))
    assert after_it["id"].to_pylist() == before_it["id"].to_pylist() == [*range(ROWS)]
    assert all(a != b for a, b in zip(before_it["label"].to_pylist(), after_it["label"].to_pylist(), strict=True))
    whole = [table.select(["id", "label"]) for table in (before_it, after_it)]
    assert len(seen) >= 3
    assert [table for table in seen if table not in whole] == []
