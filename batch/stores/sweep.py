"""Sweep: the multipart uploads of killed runs, which nobody will complete; no listing shows them, every bill does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from batch.errors import JobError
from batch.stores.storage import Store


@runtime_checkable
class UploadingStore(Protocol):
    """A store in which a killed writer may leave parts of an object behind."""

    def abort_uploads(self, keys: Collection[str]) -> int:
        """Abort every unfinished upload under one of these keys; how many there were. One request a 1,000 uploads."""
        ...


def sweep_uploads(store: Store, keys: Collection[str]) -> int:
    """Abort what was begun under keys whose objects are there; how many uploads that were.

    No clock is needed: such an upload could only be completed if nothing were there. A run that is at it this moment
    learns that its shard is another's, as it would have with its last request.

    It is housekeeping: whoever may not list uploads, or meets a store that fails, has a finished job all the same.
    """
    if not isinstance(store, UploadingStore):
        return 0
    try:
        return store.abort_uploads(keys)
    except JobError:
        return 0
