"""Replace: clear from an output what stands in the way of a job, and nothing that is not a job's."""

from __future__ import annotations

from collections.abc import Sequence

from batch.commit import (
    JOB,
    MANIFEST,
    NEXT,
    PARITY,
    RAN,
    SUCCESS,
    JobRecord,
    is_part,
    part_key,
    plan_key,
    plan_numbers,
    read_plan,
    read_plans,
    read_record,
)
from batch.errors import ReplaceInterrupted, StoreUnavailable, UsageError
from batch.shard import Plan
from batch.stores.left_out import find_parts as parts_below
from batch.stores.left_out import is_part_name
from batch.stores.storage import Store


def clear_output(store: Store, record: JobRecord, plan: Plan, *, attempt: str) -> int:
    """Remove the last job's account, and those of its parts that the new plan does not name.

    Parts of unchanged input keep their names under the new plan, so they stay and are not computed again, unless the
    new plan's schema is another: an output has one schema. `_SUCCESS` goes first: no reader shall take a half-cleared
    output for a finished one. Only what the last job's own plans name is removed: other jobs' outputs below this one,
    inputs and strangers' files are left alone.

    Killed at any moment, what lies there is named: every part by a plan, or by the new one, which is put aside before
    the last plans go and lies there until it is agreed. So a later run finds them, whatever its input is by then.

    Returns:
        How many parts were removed.

    Raises:
        UsageError: the account that lies there cannot be read, so nobody can say which parts are its own.
    """
    there = {info.key for info in store.list()}
    owner = read_owner(store)
    unwanted = sorted(find_parts(store, there) - keep_parts(store, record, plan))
    store.delete(SUCCESS)
    store.delete(MANIFEST)
    store.delete(RAN)
    for key in unwanted:
        store.delete(key)
    is_same = owner is not None and owner.fingerprint == record.fingerprint
    if is_same:
        put_over(store, NEXT, plan.to_bytes(), attempt=attempt)
    # The last plan first: plans are read from 0 on, so what a run killed here leaves behind is whole.
    for number in reversed(plan_numbers(store)):
        store.delete(plan_key(number))
    store.delete(PARITY)
    # A record that is this job's stays: without it a run killed here would leave parts that are kept to whoever comes
    # next, which may settle for another variant and then know nothing of them.
    if not is_same:
        store.delete(NEXT)
        store.delete(JOB)
    elif owner is not None and owner.to_json() != record.to_json():
        put_over(store, JOB, record.to_json(), attempt=attempt)
    return len(unwanted)


def put_over(store: Store, key: str, body: bytes, *, attempt: str) -> None:
    """Put an object, also in place of one, so that at no moment there is none."""
    there = store.head(key)
    if there is None:
        is_put = store.put_if_absent(key, body, attempt=attempt)
    else:
        is_put = store.put_if_match(key, body, etag=there.etag, attempt=attempt)
    if not is_put:
        raise StoreUnavailable("write", store.url_of(key), "another run wrote it at this moment")


def read_owner(store: Store) -> JobRecord | None:
    """Whose the output is; None also where nobody can read it."""
    try:
        return read_record(store)
    except UsageError:
        return None


def read_next(store: Store) -> Plan | None:
    """The plan that a `--replace` was about to put; None where none was interrupted.

    Raises:
        UsageError: what lies there is no plan that this version reads.
    """
    return None if store.head(NEXT) is None else read_plan(store, NEXT)


def refuse_unnamed(store: Store, fingerprint: str, plans: Sequence[Plan], kept: Plan | None) -> None:
    """See that the parts which an interrupted `--replace` kept are all named by the plans that are, or are to be put.

    Raises:
        ReplaceInterrupted: one is not, or has other columns than the parts to come.
    """
    if kept is None:
        return
    there = {info.key for info in store.list()}
    parts = {part_key(fingerprint, shard) for shard in kept.shards} & there
    if all(plan.schema.equals(kept.schema) for plan in plans):
        parts -= {part_key(fingerprint, shard) for plan in plans for shard in plan.shards}
    if parts:
        raise ReplaceInterrupted(store.url_of(min(parts)), parts=len(parts))


def find_parts(store: Store, there: set[str]) -> set[str]:
    """The last job's parts, of the keys that are there: those that its plans name, or, unread, its fingerprint.

    Those that an interrupted `--replace` kept are among them.

    Raises:
        UsageError: there are parts, and no record that says whose they are.
    """
    try:
        owner = read_record(store)
    except UsageError as error:
        if any(map(is_part_name, there)):
            raise UsageError(f"{error} Whose the parts there are nobody can say, so --replace leaves them.") from None
        return set()
    if owner is None:
        return set()
    try:
        return {part_key(owner.fingerprint, shard) for plan in known_plans(store) for shard in plan.shards} & there
    except UsageError:
        return {key for key in there if is_part(key, owner.fingerprint)} - {*parts_below(sorted(there))}


def known_plans(store: Store) -> list[Plan]:
    """Every plan that names parts there: those agreed, and the one that a `--replace` was about to put."""
    kept = read_next(store)
    return [*read_plans(store), *([kept] if kept is not None else [])]


def keep_parts(store: Store, record: JobRecord, plan: Plan) -> set[str]:
    """The parts that the new plan names too; none where their schema is no longer the plan's."""
    try:
        same = all(old.schema.equals(plan.schema) for old in known_plans(store))
    except UsageError:
        same = False
    return {part_key(record.fingerprint, shard) for shard in plan.shards} if same else set()
