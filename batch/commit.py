"""Commit: what is put into the output, and why nothing of it is ever lost, doubled or mixed.

    _tandem/job.json        the fingerprint; one job to an output
    _tandem/parity.json     its variant answered some of its rows as the reference does; not where it is the reference
    _tandem/plan-0.json     which shards there are; whoever is first plans
    _tandem/next-plan.json  the plan that a `--replace` is about to put there, and that names what it keeps
    PARTITION/part-F-S.parquet     the answers of shard S under fingerprint F: the part is its own receipt
    PARTITION/part-F-S-r1.parquet  in a table, the same after a retry, which replaces no part there
    _tandem/manifest.json   what the finished job says of itself
    _tandem/ran.json        the run that finished it, kept while a retry has the manifest away
    _SUCCESS                every planned shard has its part

Every put is conditional: of two attempts the first counts, and the second is told so. `tandem retry` replaces parts,
each only as the version that it read. Manifest and `_SUCCESS` count the plans and the replaced parts that they cover,
so that an older one never stands in a newer one's place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from batch.errors import FingerprintMismatch, InputChanged, InputNotFound, StoreUnavailable, UsageError
from batch.shard import Plan, Shard
from batch.stores.left_out import PART
from batch.stores.storage import ObjectInfo, Store
from batch.write import Part

Looked = TypeVar("Looked")
#: Plans, and parts that were replaced: what an account of a job covers. The larger is the newer.
Covers = tuple[int, int]

OURS = "_tandem/"
#: In a part's key, how often a retry has put it anew; parts of a table are never replaced.
REVISION = re.compile(r"-r([0-9]+)(?=\.parquet$)")
JOB, PARITY, MANIFEST, SUCCESS = f"{OURS}job.json", f"{OURS}parity.json", f"{OURS}manifest.json", "_SUCCESS"
RAN, NEXT = f"{OURS}ran.json", f"{OURS}next-plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """The output's owner.

    Attributes:
        settings: what changes answers, and nothing else: never engine, workers or endpoint.
        model: tag, digest, variant and task, for people.
        begun: where the first run found model and input, for `tandem retry`; other runs may name them otherwise.
    """

    settings: Mapping[str, Any]
    model: Mapping[str, Any]
    begun: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> bytes:
        content = {
            "tandem": 1,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "model": self.model,
            "begun": self.begun,
        }
        return json.dumps(content, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, body: bytes) -> JobRecord:
        content = json.loads(body)
        record = cls(settings=content["settings"], model=content["model"], begun=content.get("begun", {}))
        if not all(isinstance(part, dict) for part in (record.settings, record.model, record.begun)):
            raise TypeError("each of them is a mapping")
        if not all(isinstance(record.model.get(name), str) for name in ("tag", "digest", "variant")):
            raise TypeError("a model has a tag, a digest and a variant")
        return record


def read_record(store: Store) -> JobRecord | None:
    """The job that the output was begun by; None where it is fresh.

    Raises:
        UsageError: what lies there is no record of a job.
    """
    if store.head(JOB) is None:
        return None
    try:
        return JobRecord.from_json(store.read(JOB))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise not_ours(store, JOB, "record of a job") from None


def agree_on_job(store: Store, record: JobRecord, *, attempt: str) -> None:
    """Claim the output for this job, or find that it is this job's already.

    Raises:
        FingerprintMismatch: another job's, with what differs.
    """
    if store.put_if_absent(JOB, record.to_json(), attempt=attempt):
        return
    owner = read_record(store)
    if owner is None:
        raise StoreUnavailable("claim", store.url, "another run removed what was there")
    refuse_other_job(store, owner, record)


def refuse_other_job(store: Store, owner: JobRecord, record: JobRecord) -> None:
    """Two jobs never mix in one place.

    Raises:
        FingerprintMismatch: the output's owner is another job; the message says what differs.
    """
    if owner.fingerprint == record.fingerprint:
        return
    differences = [
        f"{name}: {shown(owner.settings.get(name))} there, {shown(record.settings.get(name))} now"
        for name in sorted(owner.settings.keys() | record.settings.keys())
        if owner.settings.get(name) != record.settings.get(name) and name not in ("model", "variant")
    ]
    who = [f"{one.model['tag']} ({one.model['variant']})" for one in (owner, record)]
    if owner.settings.get("variant") != record.settings.get("variant"):
        same = " (with other files)" if who[0] == who[1] else ""
        differences.insert(0, f"model: {who[0]} there, {who[1]} now{same}")
    raise FingerprintMismatch(
        store.url,
        expected=record.fingerprint[:8],
        found=owner.fingerprint[:8],
        differences="; ".join(differences),
    )


def shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plan_key(number: int) -> str:
    return f"{OURS}plan-{number}.json"


def plan_numbers(store: Store) -> list[int]:
    """The numbers of the plans that lie there, ascending."""
    names = (info.key.removeprefix(f"{OURS}plan-").removesuffix(".json") for info in store.list(f"{OURS}plan-"))
    return sorted(int(name) for name in names if name.isdecimal())


def count_plans(store: Store) -> int:
    """How many plans are agreed: 0, 1, 2, ... up to the first that is not there."""
    return sum(1 for place, number in enumerate(plan_numbers(store)) if place == number)


def read_plans(store: Store) -> list[Plan]:
    """Every agreed plan, in order."""
    return [read_plan(store, plan_key(number)) for number in range(count_plans(store))]


def read_plan(store: Store, key: str) -> Plan:
    """One plan.

    Raises:
        UsageError: what lies there is no plan that this version reads.
    """
    try:
        return Plan.from_bytes(store.read(key))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise not_ours(store, key, "plan") from None


def not_ours(store: Store, key: str, what: str) -> UsageError:
    return UsageError(
        f"{store.url_of(key)} is no {what} that this version reads. Choose another --output, or run with --replace."
    )


def agree_on_plan(store: Store, plan: Plan, *, attempt: str) -> Plan:
    """Put the plan unless somebody was first; return the one that counts.

    A plan that adds to a finished job takes `_SUCCESS` and the manifest away first: they would no longer be true. It
    looks again afterwards, since a run that did not know of it may have finished meanwhile.
    """
    key = plan_key(plan.number)
    if plan.number and store.head(key) is None:
        withdraw(store, plans=plan.number)
    if not store.put_if_absent(key, plan.to_bytes(), attempt=attempt):
        return read_plan(store, key)
    if plan.number:
        withdraw(store, plans=plan.number)
    return plan


def part_key(fingerprint: str, shard: Shard) -> str:
    """A function of job and shard alone, so that two attempts meet at one key."""
    return f"{shard.folder}part-{fingerprint[:8]}-{shard.id}.parquet"


def is_part(key: str, fingerprint: str) -> bool:
    """Whether the key is named as a part of that job is, in whatever folder; a retry's beside it too."""
    found = PART.fullmatch(key.rpartition("/")[2])
    return found is not None and found[1] == fingerprint[:8]


def list_parts(store: Store, fingerprint: str, plans: list[Plan]) -> dict[str, ObjectInfo]:
    """Shard id -> its part, for every planned shard that has one. One listing, whatever the number of shards."""
    return pick_parts({info.key: info for info in store.list()}, fingerprint, plans)


def newest_parts(infos: Iterable[ObjectInfo]) -> dict[str, ObjectInfo]:
    """The key that a part was first put at -> the part; in a table the last that a retry has put beside it."""
    newest: dict[str, ObjectInfo] = {}
    for info in infos:
        key = first_key(info.key)
        if key not in newest or revision(info.key) > revision(newest[key].key):
            newest[key] = info
    return newest


def first_key(key: str) -> str:
    """Where a part was put at first, be it put anew beside itself since or not."""
    return REVISION.sub("", key)


def revision(key: str) -> int:
    """How often a part was put anew beside itself."""
    found = REVISION.search(key)
    return int(found[1]) if found else 0


def next_key(key: str) -> str:
    """Where a part is put anew beside itself: 412 there says that another retry was first."""
    return first_key(key).removesuffix(".parquet") + f"-r{revision(key) + 1}.parquet"


def pick_parts(there: Mapping[str, ObjectInfo], fingerprint: str, plans: Sequence[Plan]) -> dict[str, ObjectInfo]:
    """The parts among what a listing found; see list_parts."""
    newest = newest_parts(there.values())
    shards = (shard for plan in plans for shard in plan.shards)
    return {shard.id: newest[key] for shard in shards if (key := part_key(fingerprint, shard)) in newest}


def look_again(look: Callable[[], Looked], *, url: str) -> Looked:
    """What `look` finds in the parts; anew where one was replaced between its listing and its reading.

    Raises:
        StoreUnavailable: that happened again and again.
    """
    for _ in range(20):
        with contextlib.suppress(InputChanged):
            return look()
    raise StoreUnavailable("read", url, "other runs replaced its parts again and again")


def commit_part(store: Store, part: Part, *, attempt: str) -> Part:
    """Put the part. Where another attempt's was there first, it is not committed and its answers are dropped.

    Raises:
        StoreUnavailable: not known to be written; the same attempt may be made again.
    """
    counts = {"rows": str(part.rows), "errors": str(sum(part.errors.values()))}
    return replace(part, committed=store.put_if_absent(part.key, part.path, attempt=attempt, metadata=counts))


def commit_manifest(store: Store, manifest: Mapping[str, Any], *, attempt: str) -> bool:
    """Write the manifest, then `_SUCCESS`; False where a plan was added or a part replaced meanwhile.

    Both name how many plans and replaced parts they cover, so that one written beside a growing input or a retry is
    told from a true one: what covers fewer gives way, what covers more stays.
    """
    covers = plans, retries = covered(manifest)
    body = json.dumps(manifest, indent=1, sort_keys=True).encode()
    if not put_newest(store, MANIFEST, body, attempt=attempt) or count_plans(store) != plans:
        return False
    success = json.dumps({"plans": plans} | ({"retries": retries} if retries else {})).encode()
    if not put_newest(store, SUCCESS, success, attempt=attempt):
        return False
    if count_plans(store) == plans and tells_of(manifest, newest_parts(store.list()).values()):
        return True
    withdraw(store, covers=covers)
    return False


def tells_of(manifest: Mapping[str, Any], parts: Iterable[ObjectInfo]) -> bool:
    """Whether the parts that a manifest names are among these, each of the size that it says.

    By size, not by ETag: a finished output that was copied elsewhere is still one.
    """
    there = {info.key: info for info in parts}
    try:
        return all(
            part["key"] in there and there[part["key"]].size_bytes == part["size_bytes"] for part in manifest["parts"]
        )
    except (KeyError, TypeError):
        return False


def put_newest(store: Store, key: str, body: bytes, *, attempt: str) -> bool:
    """Put an account, also in place of one that covers less; False where what is there covers more."""
    covers = covered(body)
    for _ in range(20):
        if store.put_if_absent(key, body, attempt=attempt):
            return True
        there = store.head(key)
        if there is None:
            continue
        with contextlib.suppress(InputChanged, InputNotFound):  # somebody else was quicker: look again
            found = covered(store.read(key, etag=there.etag))
            if found >= covers:
                return found == covers
            if store.put_if_match(key, body, etag=there.etag, attempt=attempt):
                return True
    raise StoreUnavailable("write", store.url_of(key), "other runs wrote it again and again")


def is_finished(store: Store, plans: int) -> bool:
    """Whether `_SUCCESS` is there and covers every plan, and the manifest is there too."""
    with contextlib.suppress(InputNotFound):  # withdrawn between two looks
        return store.head(MANIFEST) is not None and covered(store.read(SUCCESS))[0] == plans
    return False


def read_manifest(store: Store, plans: int, parts: Iterable[ObjectInfo]) -> dict[str, Any] | None:
    """The manifest of a finished job; None where it is not finished, or where these are not the parts it tells of.

    The latter is left by a retry that was killed between a part and the manifest, beside a run that had just finished.
    """
    if not is_finished(store, plans):
        return None
    with contextlib.suppress(InputNotFound, ValueError):
        manifest: dict[str, Any] = json.loads(store.read(MANIFEST))
        return manifest if tells_of(manifest, parts) else None
    return None


def see_accounts(store: Store) -> dict[str, str]:
    """Key -> ETag of `_SUCCESS` and the manifest, as far as they are there."""
    heads = {key: store.head(key) for key in (SUCCESS, MANIFEST)}
    return {key: head.etag for key, head in heads.items() if head is not None}


def withdraw(
    store: Store, *, plans: int = 0, covers: Covers | None = None, seen: Mapping[str, str] | None = None
) -> None:
    """Take `_SUCCESS` and the manifest away where they cover no more than `plans`: they are no longer true.

    What another run puts in their place meanwhile stays, and with `seen` also what it put since they were looked at.
    With `covers`, only what covers no more than that goes.
    """
    most: tuple[float, float] = covers or (plans, math.inf)
    for key, etag in (see_accounts(store) if seen is None else seen).items():
        with contextlib.suppress(InputNotFound, InputChanged):
            if covered(store.read(key, etag=etag)) <= most:
                store.delete(key, etag=etag)


def covered(account: bytes | Mapping[str, Any]) -> Covers:
    """How many plans and replaced parts a `_SUCCESS` or manifest covers; none where another program wrote it."""
    try:
        content = json.loads(account) if isinstance(account, bytes) else account
        return int(content["plans"]), int(content.get("retries", 0))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0, 0
