"""One version of a table: what it adds to the log, and how one of several writers gets its number."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from batch.errors import StoreUnavailable
from batch.stores.storage import Store
from batch.table.delta_log import OURS, Snapshot, TableFile, check_writable, entry_body, entry_key, read_snapshot
from batch.table.delta_schema import has_naive_timestamps

Action = Mapping[str, Any]


def commit_version(root: Store, actions: Callable[[Snapshot | None], list[Action] | None]) -> tuple[int, bool]:
    """Add a version to the log; where another writer took its number, look again at what there is.

    Args:
        root: the table's.
        actions: makes what the version does out of the newest one; None where nothing is to be done.
    """
    for _ in range(20):
        snapshot = read_snapshot(root)
        if snapshot is not None:
            check_writable(snapshot, root.url)
        made = actions(snapshot)
        version = -1 if snapshot is None else snapshot.version
        if made is None:
            return version, False
        if root.put_if_absent(entry_key(version + 1), entry_body(made), attempt=uuid.uuid4().hex):
            return version + 1, True
    raise StoreUnavailable("write", root.url_of(entry_key(version + 1)), "other writers were first again and again")


def move_files(
    before: Snapshot, files: Mapping[str, TableFile], metadata: Mapping[str, Any], operation: Mapping[str, Any]
) -> list[Action]:
    """The actions that make the table's files, columns and configuration be these."""
    now = now_ms()
    gone = [file for path, file in before.files.items() if path not in files]
    new = [file for path, file in files.items() if path not in before.files]
    counts = {"numAddedFiles": str(len(new)), "numRemovedFiles": str(len(gone))}
    info = {"timestamp": now, "engineInfo": OURS, "isBlindAppend": False, "operationMetrics": counts, **operation}
    actions: list[Action] = [{"commitInfo": info}]
    if (protocol := protocol_for(before, str(metadata["schemaString"]))) != before.protocol:
        actions.append({"protocol": protocol})
    if metadata != before.metadata:
        actions.append({"metaData": metadata})
    actions += [{"remove": removal(file, now)} for file in gone]
    actions += [{"add": addition(file, now)} for file in new]
    return actions


def protocol_for(before: Snapshot, schema: str) -> dict[str, Any]:
    """What the table asks for: as little as it can, and never less than before."""
    protocol = before.protocol or {"minReaderVersion": 1, "minWriterVersion": 2}
    if not has_naive_timestamps(schema) or "timestampNtz" in (protocol.get("readerFeatures") or ()):
        return dict(protocol)
    return {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["timestampNtz"],
        "writerFeatures": ["appendOnly", "invariants", "timestampNtz"],
    }


def addition(file: TableFile, now: int) -> Action:
    return {
        "path": file.path,
        "partitionValues": dict(file.partition),
        "size": file.size_bytes,
        "modificationTime": now,
        "dataChange": True,
        **({"stats": file.stats} if file.stats is not None else {}),
    }


def removal(file: TableFile, now: int) -> Action:
    return {
        "path": file.path,
        "deletionTimestamp": now,
        "dataChange": True,
        "extendedFileMetadata": True,
        "partitionValues": dict(file.partition),
        "size": file.size_bytes,
    }


def now_ms() -> int:
    return time.time_ns() // 1_000_000
