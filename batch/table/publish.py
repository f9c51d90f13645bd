"""Publish: what readers of a table see: a finished job's parts, all at once, or a version of before."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from batch.commit import first_key
from batch.errors import TableRefused
from batch.stores.storage import Store, open_store
from batch.table.delta_log import Snapshot, TableFile, read_snapshot
from batch.table.next_version import Action, commit_version, move_files, now_ms
from batch.table.place import JOB_OF_TABLE, list_folders
from batch.table.result import Result, read_result, with_statistics


def publish_job(
    root: Store, folder: str, *, where: Mapping[str, str | None], again: bool = False
) -> tuple[int, bool] | None:
    """Move readers to a finished job's answers, in one commit, and unasked once only for each set of shards.

    Killed at any moment, or its answer lost, the same call makes what is missing: the log itself says what was
    published. Of two that finish at once one commits, and the other finds that it is done. Where the set was published
    before, readers who still see it get the parts that a retry has put anew since, as publish_retry says.

    Args:
        root: the table's.
        folder: the job's.
        where: the settings of the store's client.
        again: also where readers have seen it before and were moved elsewhere since.

    Returns:
        The version of the table that readers see, and whether this call made it; None where the job is not finished.

    Raises:
        TableRefused: the table asks writers for more than we do.
    """

    def change(before: Snapshot, result: Result) -> list[Action] | None:
        if result.name in before.transactions and not again:
            return follow_retry(root, before, result)
        return None if is_current(before, result) else describe_change(root, before, result)

    return commit_result(root, folder, change, where=where)


def publish_retry(
    root: Store, folder: str, *, where: Mapping[str, str | None], changed: bool
) -> tuple[int, bool] | None:
    """Let readers who see this job see the parts that a retry has put beside those they see, in one commit.

    It changes what they see of the shards that they see, and no more: readers of another job, or of this one before its
    input grew, stay where somebody has put them. Where nothing `changed`, those who were rolled back stay too.

    Args:
        root, folder, where: as of publish_job.
        changed: whether this retry put any part, or finished the job.

    Returns:
        As publish_job.

    Raises:
        TableRefused: the table asks writers for more than we do.
    """
    return commit_result(
        root, folder, lambda before, result: follow_retry(root, before, result, changed=changed), where=where
    )


def commit_result(
    root: Store,
    folder: str,
    change: Callable[[Snapshot, Result], list[Action] | None],
    *,
    where: Mapping[str, str | None],
) -> tuple[int, bool] | None:
    """Commit what a finished job's result changes in the newest version; see publish_job."""
    target = open_store(root.url_of(folder), **where)

    def actions(snapshot: Snapshot | None) -> list[Action] | None:
        # Read after the log: what was finished later than this is published later, under a number that is then taken.
        result = read_result(root, target, folder)
        if result is None:
            raise NotFinished
        return change(snapshot or Snapshot(version=-1), result)

    try:
        return commit_version(root, actions)
    except NotFinished:
        return None


class NotFinished(Exception):
    """Of a job that is not finished there is nothing to publish."""


def is_current(before: Snapshot, result: Result) -> bool:
    return (
        before.configuration.get(JOB_OF_TABLE) == result.folder
        and before.files.keys() == result.files.keys()
        and before.metadata["schemaString"] == result.schema
        and before.partition_columns == list(result.partition_columns)
    )


def describe_change(root: Store, before: Snapshot, result: Result) -> list[Action]:
    """What moves readers from one version to the job's answers."""
    metadata: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "createdTime": now_ms(),
    }
    metadata |= before.metadata | {
        "schemaString": result.schema,
        "partitionColumns": list(result.partition_columns),
        "configuration": {**before.configuration, JOB_OF_TABLE: result.folder},
    }
    published = {"txn": {"appId": result.name, "version": 1, "lastUpdated": now_ms()}}
    return [*overwrite(root, before, result.files, metadata), published]


def follow_retry(root: Store, before: Snapshot, result: Result, *, changed: bool = False) -> list[Action] | None:
    """What brings readers from parts of this job to the newest ones of the same shards; None where they stay."""
    if before.configuration.get(JOB_OF_TABLE) != result.folder or (is_rolled_back(before) and not changed):
        return None
    newest = {first_key(file.key): file for file in result.files.values()}
    seen = {first_key(file.key) for file in before.files.values()}
    if not seen <= newest.keys():  # another program has rewritten some, and may have deleted rows of them
        return None
    files = {newest[key].path: newest[key] for key in seen}
    return None if files.keys() == before.files.keys() else overwrite(root, before, files, before.metadata)


def overwrite(
    root: Store, before: Snapshot, files: Mapping[str, TableFile], metadata: Mapping[str, Any]
) -> list[Action]:
    """What makes the table's files be these, those that are new to it with their statistics."""
    new = with_statistics(root, [file for path, file in files.items() if path not in before.files])
    operation = {"operation": "WRITE", "operationParameters": {"mode": "Overwrite"}}
    return move_files(before, {**files, **{file.path: file for file in new}}, metadata, operation)


def promote_job(root: Store, fingerprint: str | None, *, where: Mapping[str, str | None]) -> tuple[int, bool, str]:
    """Move readers to the answers of a job that is finished and that they do not see.

    Args:
        root: the table's.
        fingerprint: of the job, or how it begins; None where only one comes into question.
        where: the settings of the store's client.

    Returns:
        The version that readers see, whether this call made it, and the job's folder.

    Raises:
        TableRefused: no such job, several, or it is not finished.
    """
    folders = list_folders(root)
    if fingerprint is not None:
        chosen = [one for one in folders if one.startswith(f"job-{fingerprint[:8]}")]
    else:
        snapshot = read_snapshot(root)
        current = snapshot.configuration.get(JOB_OF_TABLE) if snapshot else None
        chosen = [one for one in folders if one != current] or folders
    if len(chosen) != 1:
        asked = f"fingerprint {fingerprint}" if fingerprint else "that readers do not see"
        there = ", ".join(one.removeprefix("job-").rstrip("/") for one in folders) or "none"
        reason = f"it has {'several jobs' if chosen else 'no job'} {'of ' if fingerprint else ''}{asked}"
        raise TableRefused(root.url, reason, advice=f"Name one with --fingerprint; there are: {there}.")
    published = publish_job(root, chosen[0], where=where, again=True)
    if published is None:
        advice = f"See: tandem status {root.url_of(chosen[0])}"
        raise TableRefused(root.url, f"its job {chosen[0].rstrip('/')} is not finished", advice=advice)
    return (*published, chosen[0])


def roll_back(root: Store, version: int | None) -> tuple[int, int]:
    """Move readers to what they saw as of an earlier version, in one commit.

    Args:
        root: the table's.
        version: which; None: the one before what they see, and, once more, the one before that.

    Returns:
        The version that readers see from now on, and the one whose files it has.

    Raises:
        TableRefused: there is no such version, or a file of it was removed since.
    """
    chosen = version

    def actions(snapshot: Snapshot | None) -> list[Action]:
        nonlocal chosen
        if snapshot is None:
            raise TableRefused(root.url, "nothing was promoted there yet", advice="See: tandem status.")
        seen = seen_version(root, snapshot)
        chosen = seen - 1 if version is None else version
        if chosen < 0:
            raise TableRefused(root.url, f"readers see version {seen}, and there is none before it")
        earlier = read_snapshot(root, version=chosen)
        assert earlier is not None
        there = {info.key for info in root.list()}
        if lost := next((file.key for file in earlier.files.values() if file.key not in there), None):
            reason = f"version {chosen} cannot be had back: {lost} was removed since (VACUUM does that)"
            raise TableRefused(root.url, reason, advice="Run its job again.")
        operation = {"operation": "RESTORE", "operationParameters": {"version": str(chosen)}}
        return move_files(snapshot, earlier.files, earlier.metadata, operation)

    made, _ = commit_version(root, actions)
    assert chosen is not None
    return made, chosen


def seen_version(root: Store, snapshot: Snapshot) -> int:
    """The version that brought the rows which readers see: where the newest only takes an earlier one back up, its."""
    if is_rolled_back(snapshot):
        try:
            version = int(snapshot.info["operationParameters"]["version"])
        except (KeyError, TypeError, ValueError):
            return snapshot.moved
        earlier = read_snapshot(root, version=version)
        assert earlier is not None
        return earlier.moved
    return snapshot.moved


def is_rolled_back(snapshot: Snapshot) -> bool:
    """Whether somebody had readers see an earlier version again, and nothing was published since."""
    return snapshot.info.get("operation") == "RESTORE"
