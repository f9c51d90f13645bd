"""The plan of ten million shards: footers made here, cut, written and read back; prints seconds and peak memory.

python -m benchmarks.scale_plan [SHARDS] [ROW_GROUPS_PER_OBJECT]; the project's own functions, no store and no network.
"""

from __future__ import annotations

import resource
import sys
import time
from array import array
from collections.abc import Iterator

import pyarrow as pa

from batch.plan import Footer, cut
from batch.shard import Plan, Shard
from batch.shard_columns import hold
from batch.stores.storage import ObjectInfo

SCHEMA = pa.schema([("text", pa.string())])
#: Compressed bytes of a row group, so that each is a shard.
GROUP = 60_000_000


def make_footers(shards: int, groups: int) -> Iterator[Footer]:
    """Footers of so many objects that each of their row groups makes a shard."""
    for number in range(shards // groups):
        info = ObjectInfo(
            key=f"year=2024/data-{number:08}.parquet", etag=f'"{number:032x}"', size_bytes=groups * GROUP + number
        )
        yield Footer(
            info=info,
            partition="year=2024/",
            rows=array("q", [100_000 + number] * groups),
            sizes=array("q", [GROUP + number % 999] * groups),
            kept_sizes=array("q", [GROUP // 2 + number % 999] * groups),
            schema=SCHEMA,
        )


def cut_all(footers: list[Footer]) -> Iterator[Shard]:
    """As make_plan cuts a partition."""
    return cut(footers, folder="year=2024/", shard_bytes=64_000_000, part_bytes=1e18, answer_bytes=8.0)


def main() -> None:
    shards = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    groups = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    told("import")
    footers = list(make_footers(shards, groups))
    told("footers in hand")
    began = time.perf_counter()
    objects = {footer.info.key: footer.info.etag for footer in footers}
    plan = Plan(number=0, objects=objects, shards=hold(cut_all(footers)), schema=SCHEMA)
    planned = time.perf_counter()
    told("planned")
    body = plan.to_bytes()
    written = time.perf_counter()
    told("written")
    first, last, rows, count = plan.shards[0], plan.shards[-1], plan.rows, len(plan.shards)
    del footers, plan, objects
    again = Plan.from_bytes(body)
    read = time.perf_counter()
    told("read back")
    if (again.shards[0], again.shards[-1], again.rows, len(again.shards)) != (first, last, rows, count):
        raise SystemExit("what was read back is another plan")
    print(f"shards={count} bytes={len(body)} cut_s={planned - began:.1f} write_s={written - planned:.1f}", end=" ")
    print(f"read_s={read - written:.1f} total_s={read - began:.1f}")


def told(what: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak_bytes={peak} after={what!r}", flush=True)


if __name__ == "__main__":
    main()
