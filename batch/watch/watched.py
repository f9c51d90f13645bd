"""Watched: what an output says of its job, read from the store alone, also while the job runs elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from batch.commit import JobRecord, look_again, pick_parts, plan_key, read_manifest, read_plan, read_record
from batch.errors import InputNotFound
from batch.report import read_account
from batch.shard import Plan, Shard
from batch.status import open_output
from batch.stores.storage import ObjectInfo, Store
from batch.watch.pace import Commit, Pace, measure_pace

Status = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCounts:
    """Rows and error rows of a part, and how often it was replaced by a retry."""

    rows: int
    errors: int
    retries: int


class Watched:
    """An output that is looked at again and again: what does not change is read once.

    A look costs one listing, a request for each part that is new (16 at once), and two more where the job is done.
    """

    def __init__(self, output: str, **where: str | None) -> None:
        """Open it.

        Raises:
            InputNotFound: no job has begun there.
        """
        self.store: Store = open_output(output, **where)
        self._plans: dict[str, Plan] = {}
        self._counts: dict[tuple[str, str], PartCounts] = {}

    def look(self) -> Status:
        """How far the job has come.

        Returns:
            Shards and input rows, planned and committed; rows and error rows of the committed parts; of an unfinished
            job the rate, the time left, and whether it has stopped to go on; of a finished one the manifest's counts.

        Raises:
            InputNotFound: the job was cleared away.
        """
        record = read_record(self.store)
        if record is None:  # a run with --replace clears the output
            raise InputNotFound(self.store.url, "no job has begun here", advice="Look again in a moment.")
        return look_again(lambda: self._look(record), url=self.store.url)

    def _look(self, record: JobRecord) -> Status:
        there = {info.key: info for info in self.store.list()}
        plans = self._read_plans(there)
        parts = pick_parts(there, record.fingerprint, plans)
        shards = {shard.id: shard for plan in plans for shard in plan.shards}
        manifest = read_manifest(self.store, len(plans), parts.values()) if plans else None
        status: Status = {
            "fingerprint": record.fingerprint,
            "model": dict(record.model),
            "shards": len(shards),
            "shards_done": len(parts),
            "rows": sum(shard.rows for shard in shards.values()),
            "rows_done": sum(shards[shard].rows for shard in parts),
            "finished": manifest is not None,
        }
        times = [info.modified for info in parts.values() if info.modified is not None]
        if times:
            status["last_commit"] = datetime.fromtimestamp(max(times), UTC).isoformat(timespec="seconds")
        if manifest is not None:
            done = {name: manifest[name] for name in ("error_rows", "errors", "quality", "digest")}
            return status | {"output_rows": manifest["rows"], "rows_per_s": manifest["run"]["rows_per_s"]} | done
        counts = self._read_counts(parts)
        pace = measure_shards(parts, shards, counts, begun=there.get(plan_key(0)), status=status)
        return status | {
            "output_rows": sum(count.rows for count in counts.values()),
            "error_rows": sum(count.errors for count in counts.values()),
            "rows_per_s": None if pace.rows_per_s is None else round(pace.rows_per_s, 1),
            "seconds_left": None if pace.seconds_left is None else round(pace.seconds_left, 1),
            "seconds_since_commit": None if pace.since_s is None else round(pace.since_s, 1),
            "stalled": pace.is_stalled,
        }

    def _read_plans(self, there: Mapping[str, ObjectInfo]) -> list[Plan]:
        """The agreed plans; one that was read before is not read again."""
        plans: list[Plan] = []
        while (info := there.get(plan_key(len(plans)))) is not None:
            if info.etag not in self._plans:
                self._plans[info.etag] = read_plan(self.store, plan_key(len(plans)))
            plans.append(self._plans[info.etag])
        return plans

    def _read_counts(self, parts: Mapping[str, ObjectInfo]) -> dict[str, PartCounts]:
        """Of every part, by shard."""
        new = [info for info in parts.values() if (info.key, info.etag) not in self._counts]
        for info, counts in zip(new, count_parts(self.store, new), strict=True):
            self._counts[info.key, info.etag] = counts
        return {shard: self._counts[info.key, info.etag] for shard, info in parts.items()}


def count_parts(store: Store, parts: Sequence[ObjectInfo]) -> list[PartCounts]:
    """Of many parts, 16 at once.

    Raises:
        InputChanged: one was replaced since it was listed.
    """
    with ThreadPoolExecutor(16, thread_name_prefix="counts") as pool:
        return list(pool.map(lambda info: count_part(store, info), parts))


def count_part(store: Store, info: ObjectInfo) -> PartCounts:
    """By the object's metadata, which is a HEAD; a local folder keeps none, so there the footer is read."""
    head = store.head(info.key)
    if head is not None and head.etag == info.etag and {"rows", "errors"} <= head.metadata.keys():
        said = head.metadata
        return PartCounts(rows=int(said["rows"]), errors=int(said["errors"]), retries=int(said.get("retries", 0)))
    account = read_account(store, info)
    errors = sum(account["errors"].values())
    return PartCounts(rows=account["rows"], errors=errors, retries=account.get("retries", 0))


def measure_shards(
    parts: Mapping[str, ObjectInfo],
    shards: Mapping[str, Shard],
    counts: Mapping[str, PartCounts],
    *,
    begun: ObjectInfo | None,
    status: Status,
) -> Pace:
    """The pace of an unfinished job. A part that a retry replaced says nothing of when its shard was done."""
    commits = [
        Commit(at=info.modified, rows=shards[shard].rows)
        for shard, info in parts.items()
        if info.modified is not None and not counts[shard].retries
    ]
    return measure_pace(
        commits,
        begun=begun.modified if begun is not None else None,
        rows_left=status["rows"] - status["rows_done"],
        now=max([time.time(), *(commit.at for commit in commits)]),
    )
