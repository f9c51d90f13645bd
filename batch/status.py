"""Status: what an output says of its job, read from the store alone, also while the job runs elsewhere."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.commit import is_finished, list_parts, read_plans, read_record
from batch.errors import InputNotFound
from batch.parquet_source import PinnedFile
from batch.retry.find_errors import readable
from batch.stores.storage import Store, open_store
from batch.table.place import open_current


def open_output(output: str, **where: str | None) -> Store:
    """Open an output that a job has begun; of a table the folder of the job that readers see.

    Raises:
        InputNotFound: no job has begun there.
    """
    store: Store | None = open_store(output, **where)
    assert store is not None
    if read_record(store) is None:
        store = open_current(store, **where)
    if store is None or read_record(store) is None:
        raise InputNotFound(output, "no job has begun here", advice="Name the --output of a `tandem run`.")
    return store


def read_status(output: str, **where: str | None) -> dict[str, Any]:
    """How far a job has come, as `Watched.look` says it.

    Raises:
        InputNotFound: no job has begun there.
    """
    from batch.watch.watched import Watched

    return Watched(output, **where).look()


def read_head(output: str, rows: int, **where: str | None) -> pa.Table:
    """The first rows of the committed parts, in the order of the input.

    Raises:
        InputNotFound: no part is committed yet.
    """
    store = open_output(output, **where)
    record = read_record(store)
    assert record is not None
    plans = read_plans(store)
    parts = list_parts(store, record.fingerprint, plans)
    gathered: list[pa.Table] = []
    for shard in (shard for plan in plans for shard in plan.shards if shard.id in parts):
        part = parts[shard.id]
        with PinnedFile(store, part) as file, readable(store.url_of(part.key)):
            batches = pq.ParquetFile(file).iter_batches(rows)
            gathered += [pa.Table.from_batches([batch]) for batch in [next(batches, None)] if batch is not None]
        if sum(table.num_rows for table in gathered) >= rows:
            break
    if not gathered:
        done = is_finished(store, len(plans))
        why = "the job is done and let no row in" if done else "no part with rows is committed yet"
        raise InputNotFound(output, why, advice="See: tandem status.")
    return pa.concat_tables(gathered, promote_options="permissive").slice(0, rows)
