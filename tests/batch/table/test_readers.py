"""A reader in a loop meanwhile sees all of what a retry, promotion or rollback makes of a table, or nothing of it."""

from __future__ import annotations

import time
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from tests.batch.command import ended, started
from tests.batch.places import Bucket, put_table, texts
from tests.batch.table.models import CONTRARY, MENDABLE
from tests.batch.table.tables import opened, reading, rows, run
from tests.fault_proxy import Fault, FaultProxy, Rule

SMALL = {"shard_mb": 0.0001}
COLUMNS = ("_source", "_row", "id", "label", "error")
#: Where a command is stopped: the first part is put and it does not know it yet; the version of the log is not yet put.
MOMENTS: tuple[tuple[Fault, str], ...] = (("hold_answer", "-r1[.]parquet"), ("hold", "_delta_log/"))


def read_on(seen: list[pa.Table]) -> None:
    """Wait until the table was read from beginning to end once more."""
    before, until = len(seen), time.monotonic() + 30
    while len(seen) < before + 2:
        assert time.monotonic() < until, "the reader does not come on"
        time.sleep(0.01)


def test_no_retry_promotion_or_rollback_shows_a_mixture_to_a_reader_in_a_loop(
    s3_place: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    """The commands are stopped in the middle of what they put, where some files are there and others are not."""
    for number in range(3):
        put_table(s3_place, f"in/{number}.parquet", texts(20, first=20 * number), row_group_size=10)
    run(s3_place, MENDABLE, **SMALL)
    run(s3_place, CONTRARY, **SMALL, promote=False)
    out, seen = s3_place.url + "out/", list[pa.Table]()
    commands = {
        ("retry", out, "--model", MENDABLE): MOMENTS,
        ("promote", out): MOMENTS[1:],
        ("rollback", out, "--version", "0"): MOMENTS[1:],
    }
    with reading(s3_place, seen, columns=COLUMNS):
        for words, moments in commands.items():
            rules = [proxy.add(Rule(fault=fault, method="PUT", path=path)) for fault, path in moments]
            with started(*words, "--endpoint-url", proxy.url, MENDED=str(tmp_path)) as process:
                for rule in rules:
                    rule.wait_until_held()
                    read_on(seen)
                    rule.release()
                assert ended(process).code == 0
            read_on(seen)
    assert {table.num_rows for table in seen} == {60}
    assert opened(s3_place).version() == 3
    versions = [rows(s3_place, version=version).select(COLUMNS) for version in range(4)]
    assert [table["error"].null_count for table in versions] == [52, 60, 60, 52]
    found = [next((number for number, version in enumerate(versions[:3]) if table == version), None) for table in seen]
    assert [number for number, _ in groupby(found)] == [0, 1, 2, 0]
