"""Gather: what a report shows, from the store alone: the manifest, or the footers of the parts there are so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from batch.account.manifest import Manifest, check_manifest
from batch.commit import MANIFEST, JobRecord, is_finished, list_parts, not_ours, read_plans, read_record
from batch.errors import InputChanged, InputNotFound, StoreUnavailable
from batch.report import describe_parts
from batch.shard import Plan
from batch.status import open_output
from batch.stores.storage import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """One job, as it was found.

    Attributes:
        output: where.
        record: whose it is.
        plans: what it reads; none where it was claimed and not yet planned.
        manifest: of all parts, or of those that are there; then without `run`.
        finished: whether it is.
        looked: when.
    """

    output: str
    record: JobRecord
    plans: Sequence[Plan]
    manifest: Manifest
    finished: bool
    looked: datetime

    @property
    def shards(self) -> int:
        return len({shard.id for plan in self.plans for shard in plan.shards})

    @property
    def input_rows(self) -> int:
        return sum(plan.rows for plan in self.plans)

    @property
    def unit(self) -> str:
        """What a piece's length counts; see batch.profile."""
        model = self.record.model
        if str(model.get("task", "")).startswith("image"):
            return "images"
        return "tokens" if model.get("family") == "transformer" else "steps"


def gather(output: str, **where: str | None) -> Findings:
    """Look at an output. Costs a few requests where the job is finished, else one or two a part.

    Raises:
        InputNotFound: no job has begun there.
        UsageError: what lies there is none of ours.
        StoreUnavailable: parts were replaced again and again while it looked.
    """
    store = open_output(output, **where)
    for _ in range(3):
        try:
            return look(store)
        except (InputChanged, InputNotFound):  # withdrawn or replaced between two looks
            continue
    raise StoreUnavailable("read", store.url, "other runs changed it again and again")


def look(store: Store) -> Findings:
    record = read_record(store)
    if record is None:
        raise InputNotFound(store.url, "no job has begun here", advice="Name the --output of a `tandem run`.")
    plans = read_plans(store)
    finished = bool(plans) and is_finished(store, len(plans))
    if finished:
        try:
            manifest = check_manifest(store.read(MANIFEST))
        except ValueError as error:
            raise not_ours(store, MANIFEST, f"manifest ({error})") from None
    else:
        manifest = describe_parts(store, record, plans, list_parts(store, record.fingerprint, plans), {})
    return Findings(
        output=store.url,
        record=record,
        plans=plans,
        manifest=manifest,
        finished=finished,
        looked=datetime.now(UTC),
    )
