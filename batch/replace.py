"""Replace: clear from an output what stands in the way of a job, and nothing that is not a job's."""

from __future__ import annotations

import re

from batch.commit import (
    JOB,
    MANIFEST,
    PARITY,
    RAN,
    SUCCESS,
    JobRecord,
    part_key,
    plan_key,
    plan_numbers,
    read_plans,
    read_record,
)
from batch.errors import UsageError
from batch.shard import Plan
from batch.stores.storage import Store

PART = re.compile(r"(^|/)part-[0-9a-f]{8}-[0-9a-f]{20}\.parquet$")


def clear_output(store: Store, record: JobRecord, plan: Plan) -> int:
    """Remove the last job's account, and those of its parts that the new plan does not name.

    Parts of unchanged input keep their names under the new plan, so they stay and are not computed again, unless the
    new plan's schema is another: an output has one schema. `_SUCCESS` goes first: no reader shall take a half-cleared
    output for a finished one. Only what the last job's own plans name is removed: other jobs' outputs below this one,
    inputs and strangers' files are left alone.

    Returns:
        How many parts were removed.

    Raises:
        UsageError: the account that lies there cannot be read, so nobody can say which parts are its own.
    """
    there = {info.key for info in store.list()}
    unwanted = sorted(find_parts(store, there) - keep_parts(store, record, plan))
    store.delete(SUCCESS)
    store.delete(MANIFEST)
    store.delete(RAN)
    for key in unwanted:
        store.delete(key)
    # The last plan first: plans are read from 0 on, so what a run killed here leaves behind is whole.
    for number in reversed(plan_numbers(store)):
        store.delete(plan_key(number))
    store.delete(PARITY)
    # A record that is this job's stays: without it a run killed here would leave parts that are kept to whoever comes
    # next, which may settle for another variant and then know nothing of them.
    if not is_same(store, record):
        store.delete(JOB)
    return len(unwanted)


def is_same(store: Store, record: JobRecord) -> bool:
    """Whether the record that lies there is this very one."""
    try:
        owner = read_record(store)
    except UsageError:
        return False
    return owner is not None and owner.to_json() == record.to_json()


def find_parts(store: Store, there: set[str]) -> set[str]:
    """The last job's parts, of the keys that are there: those that its plans name, or, unread, its fingerprint.

    Raises:
        UsageError: there are parts, and no record that says whose they are.
    """
    try:
        owner = read_record(store)
    except UsageError as error:
        if any(PART.search(key) for key in there):
            raise UsageError(f"{error} Whose the parts there are nobody can say, so --replace leaves them.") from None
        return set()
    if owner is None:
        return set()
    try:
        return {part_key(owner.fingerprint, shard) for plan in read_plans(store) for shard in plan.shards} & there
    except UsageError:
        return {key for key in there if PART.search(key) and f"part-{owner.fingerprint[:8]}-" in key}


def keep_parts(store: Store, record: JobRecord, plan: Plan) -> set[str]:
    """The parts that the new plan names too; none where their schema is no longer the plan's."""
    try:
        same = all(old.schema.equals(plan.schema) for old in read_plans(store))
    except UsageError:
        same = False
    return {part_key(record.fingerprint, shard) for shard in plan.shards} if same else set()
