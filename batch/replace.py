"""Replace: clear from an output what stands in the way of a job, and nothing that is not a job's."""

from __future__ import annotations

import re

from batch.commit import JOB, MANIFEST, SUCCESS, JobRecord, part_key, plan_key, plan_numbers
from batch.shard import Plan
from batch.storage import Store

PART = re.compile(r"(^|/)part-[0-9a-f]{8}-[0-9a-f]{20}\.parquet$")


def clear_output(store: Store, record: JobRecord, plan: Plan) -> int:
    """Remove the last job's account and every part that the new plan does not name.

    Parts of unchanged input keep their names under the new plan, so they stay and are not computed again. `_SUCCESS`
    goes first: no reader shall take a half-cleared output for a finished one. Files with other names are left alone.

    Returns:
        How many parts were removed.
    """
    store.delete(SUCCESS)
    store.delete(MANIFEST)
    wanted = {part_key(record.fingerprint, shard) for shard in plan.shards}
    removed = 0
    for info in store.list():
        if PART.search(info.key) and info.key not in wanted:
            store.delete(info.key)
            removed += 1
    # The last plan first: plans are read from 0 on, so what a run killed here leaves behind is whole.
    for number in reversed(plan_numbers(store)):
        store.delete(plan_key(number))
    store.delete(JOB)
    return removed
